import { expect, test } from 'vitest';
import { RecentCount } from '../../src/batches/recent-count.ts';

test('what happened longer ago than the window is not counted, bucket by bucket', () => {
  const count = new RecentCount(12_000);
  count.add(1, 0);
  count.add(2, 999);
  count.add(4, 5_000);
  expect(count.total(11_999)).toBe(7);
  expect(count.total(12_000)).toBe(4);
  expect(count.total(16_999)).toBe(4);
  expect(count.total(17_000)).toBe(0);
});

test('a gap longer than the window clears everything, also where buckets are used again', () => {
  const count = new RecentCount(12_000);
  for (let at = 0; at < 12_000; at += 1_000) count.add(1, at);
  expect(count.total(12_000)).toBe(11);
  expect(count.total(1_000_000)).toBe(0);
  count.add(3, 1_000_000);
  expect(count.total(1_000_500)).toBe(3);
});
