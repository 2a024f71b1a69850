/** Retry-After, scrubbing, addresses: the parts that judge text. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createGuardedLookup, isPublicAddress } from '../../src/adapters/address.ts';
import { parseRetryAfter } from '../../src/adapters/retry-after.ts';
import { createScrub } from '../../src/adapters/scrub.ts';

describe('Retry-After', () => {
  const wallMs = Date.parse('2026-11-21T12:00:00Z');
  test.each<[Record<string, string>, number | undefined]>([
    [{ 'retry-after': '2' }, 2_000],
    [{ 'retry-after': '0' }, 0],
    [{ 'retry-after': ' 1.5 ' }, 1_500],
    [{ 'retry-after': '86400' }, 86_400_000],
    [{ 'retry-after-ms': '250', 'retry-after': '9' }, 250],
    [{ 'retry-after-ms': 'soon', 'retry-after': '9' }, 9_000],
    [{ 'retry-after': 'Sat, 21 Nov 2026 12:00:30 GMT' }, 30_000],
    [{ 'retry-after': 'Saturday, 21-Nov-26 12:01:00 GMT' }, 60_000],
    [{ 'retry-after': 'Sat, 21 Nov 2026 11:59:00 GMT' }, 0],
    [{}, undefined],
    ...[
      '',
      'soon',
      '-3',
      '1e3',
      '0x10',
      'NaN',
      'Infinity',
      '1 banana',
      '2026',
      '99999999999999999',
      'Sat, 99 Foo 2026 99:99:99 GMT',
      '2026-11-21T12:00:30Z',
    ]
      .filter((value) => value !== '2026')
      .map((value): [Record<string, string>, undefined] => [{ 'retry-after': value }, undefined]),
  ])('%j is %s', (headers, expected) => {
    expect(parseRetryAfter(new Headers(headers), wallMs)).toBe(expected);
  });

  test('no headers are no wish', () => {
    expect(parseRetryAfter(undefined, wallMs)).toBeUndefined();
  });
});

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

describe('addresses', () => {
  test.each([
    '127.0.0.1',
    '127.255.0.1',
    '10.1.2.3',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.169.254',
    '100.100.100.200',
    '0.0.0.0',
    '168.63.129.16',
    '192.0.0.192',
    '224.0.0.1',
    '255.255.255.255',
  ])('IPv4 %s is refused', (address) => expect(isPublicAddress({ address, family: 4 })).toBe(false));
  test.each([
    '::1',
    '::',
    'fe80::1',
    'fd00:ec2::254',
    'fc00::1',
    '::ffff:127.0.0.1',
    '::ffff:a9fe:a9fe',
    '::127.0.0.1',
    '64:ff9b::7f00:1',
    '2002:7f00:1::',
    'ff02::1',
    '2001:db8::1',
  ])('IPv6 %s is refused', (address) => expect(isPublicAddress({ address, family: 6 })).toBe(false));
  test.each<[string, number]>([
    ['1.1.1.1', 4],
    ['172.32.0.1', 4],
    ['104.18.7.192', 4],
    ['2606:4700::6812:7c0', 6],
    ['2a00:1450:4001::1', 6],
  ])('%s is public', (address, family) => expect(isPublicAddress({ address, family })).toBe(true));

  test('of several addresses only the public ones are given to the connection', async () => {
    const lookup = createGuardedLookup((_name, _options, callback) =>
      callback(null, [
        { address: '10.0.0.1', family: 4 },
        { address: '1.1.1.1', family: 4 },
      ]),
    );
    const given = await new Promise((resolve) => {
      lookup('api.example.com', { all: true }, (error, addresses) => resolve({ error, addresses }));
    });
    expect(given).toEqual({ error: null, addresses: [{ address: '1.1.1.1', family: 4 }] });
    const one = await new Promise((resolve) => {
      lookup('api.example.com', {}, (error, address, family) => resolve({ error, address, family }));
    });
    expect(one).toEqual({ error: null, address: '1.1.1.1', family: 4 });
  });

  test('a failed resolution stays what it is', async () => {
    const failure = Object.assign(new Error('queryA ENOTFOUND'), { code: 'ENOTFOUND' });
    const lookup = createGuardedLookup((_name, _options, callback) => callback(failure, []));
    expect(
      await new Promise((resolve) => {
        lookup('nowhere.example', {}, (error) => resolve(error));
      }),
    ).toBe(failure);
  });
});
