import { expect, test } from 'vitest';
import { explainListenError, renderUrl } from '../../src/daemon/address.ts';

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
