import { describe, expect, test } from 'vitest';
import { isLoopback } from '../../src/config/loopback.ts';

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
