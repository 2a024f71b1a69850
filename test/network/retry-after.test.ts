import { describe, expect, test } from 'vitest';
import { parseRetryAfter } from '../../src/network/retry-after.ts';

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
