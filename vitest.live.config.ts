import { defineConfig } from 'vitest/config';

/** Tests that spend money at real providers; never part of `npm test`. */
export default defineConfig({
  test: {
    include: ['test/live/**/*.test.ts'],
    pool: 'threads',
    // One file at a time: they share a spending cap.
    fileParallelism: false,
    passWithNoTests: false,
    testTimeout: 120_000,
    hookTimeout: 60_000,
    reporters: ['default', './test/support/reporter.ts'],
  },
});
