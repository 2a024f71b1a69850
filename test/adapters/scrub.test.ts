import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createScrub } from '../../src/adapters/scrub.ts';

describe('scrubbing', () => {
  const scrub = createScrub(() => ['hunter22', 'a/b+c=d?', 'abc']);
  test.each([
    ['Incorrect API key provided: sk-proj-abcDEF1234567890_-x.', 'sk-proj-abc'],
    ['Authorization: Bearer eyJhbGciOi.J9-x', 'eyJhbGciOi'],
    ['{"x-api-key":"hunter3hunter3"}', 'hunter3'],
    ['headers: { "api-key": "0123456789abcdef" }', '0123456789'],
    ['gsk_abcdefgh12345678 and xai-abcdefgh12345678', 'abcdefgh'],
    ['proxy http://user:pass@host:1/', 'user:pass'],
    ['the password is hunter22!', 'hunter22'],
    ['encoded a%2Fb%2Bc%3Dd%3F here', 'a%2Fb'],
    ['AIzaSyA1234567890abcdefghijklmnop', 'SyA123'],
    ['?api_key=verysecretvalue&x=1', 'verysecret'],
  ])('%s', (text, secret) => {
    expect(scrub(text)).not.toContain(secret);
    expect(scrub(text)).toContain('[redacted]');
  });

  test('ordinary words stay', () => {
    const text = 'The task-force asked for a basic plan: maximum context length is 8192 tokens, abc.';
    expect(scrub(text)).toBe(text);
  });

  test('a secret does not survive at the cut, whatever surrounds it, and a text is at most 2 kB', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 3_000, unit: 'binary' }), fc.string({ maxLength: 3_000 }), (before, after) => {
        const text = scrub(`${before}hunter22${after}`);
        expect(text).not.toContain('hunter22');
        expect(Buffer.byteLength(text)).toBeLessThanOrEqual(2_048);
      }),
      { numRuns: 300 },
    );
  });
});
