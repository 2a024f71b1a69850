import { expect, test } from 'vitest';
import { classifyConnectionError } from '../../src/adapters/connection.ts';

const coded = (code: string): Error =>
  new TypeError('fetch failed', { cause: Object.assign(new Error('in the words of a library'), { code }) });

test.each([
  ['ECONNREFUSED', 'no answer from http://up: connection refused (ECONNREFUSED)'],
  ['ECONNRESET', 'no answer from http://up: connection reset (ECONNRESET)'],
  ['UND_ERR_SOCKET', 'no answer from http://up: connection closed (UND_ERR_SOCKET)'],
  ['ENOTFOUND', 'no answer from http://up: its name does not resolve (ENOTFOUND)'],
  ['CERT_HAS_EXPIRED', 'no answer from http://up: CERT_HAS_EXPIRED'],
])('a connection that ends with %s is told in words, and by the code that search engines know', (code, message) => {
  expect(classifyConnectionError(coded(code), 'http://up', 5_000).failure).toMatchObject({
    kind: 'connection',
    message,
  });
});
