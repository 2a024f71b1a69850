import { describe, expect, test } from 'vitest';
import { linesAheadMax } from '../../src/policy/batch-pace.ts';

describe('how many lines of a batch wait as requests', () => {
  test.each([
    ['nothing was settled lately: enough to keep providers busy', 0, 100],
    ['hardly anything was', 20, 100],
    ['as much as five minutes take at this pace', 21, 105],
    ['a line a second', 60, 300],
    ['never more than some thousand', 400, 2_000],
    ['however fast it goes', 100_000, 2_000],
  ])('%s', (_name, settledLately, ahead) => {
    expect(linesAheadMax(settledLately)).toBe(ahead);
  });
});
