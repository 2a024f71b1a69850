import { describe, expect, test } from 'vitest';
import { explainListenError, isLoopback, renderUrl } from '../../src/daemon/address.ts';

describe('isLoopback', () => {
  test.each(['127.0.0.1', '127.255.255.254', '::1', '0:0:0:0:0:0:0:1', 'localhost', 'LOCALHOST'])(
    '%s stays on this machine',
    (host) => {
      expect(isLoopback(host)).toBe(true);
    },
  );

  test.each([
    '0.0.0.0',
    '::',
    '10.0.0.1',
    '192.168.1.5',
    '128.0.0.1',
    'fe80::1',
    'localhost.example.com',
    '127.0.0.1.nip.io',
    'db',
    '',
  ])('%j may be reached by others', (host) => {
    expect(isLoopback(host)).toBe(false);
  });
});

test.each([
  ['127.0.0.1', 'http://127.0.0.1:1'],
  ['localhost', 'http://localhost:1'],
  ['::1', 'http://[::1]:1'],
  ['0.0.0.0', 'http://127.0.0.1:1'],
  ['::', 'http://[::1]:1'],
])('%s is written as an address that can be called', (host, url) => {
  expect(renderUrl(host, 1)).toBe(url);
});

test.each([
  ['EADDRINUSE', 'port 80 on h is taken'],
  ['EACCES', 'above 1023'],
  ['EADDRNOTAVAIL', 'an address of this machine'],
  ['ENOTFOUND', 'an address of this machine'],
  ['EMFILE', 'too many'],
])('%s is told with what to do', (code, words) => {
  expect(explainListenError(Object.assign(new Error('too many'), { code }), 'h', 80)).toContain(words);
});
