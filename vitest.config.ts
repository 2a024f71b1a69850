import { defineConfig } from 'vitest/config';

if (Number.parseInt(process.versions.node) < 24) {
  throw new Error(
    `expected Node to be 24 or later, got: ${process.versions.node}; run "npm rebuild node", then "npm test"`,
  );
}

// A zone that is half an hour off, so that what depends on where the process runs is seen.
process.env['TZ'] = 'America/St_Johns';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/live/**'],
    pool: 'threads',
    // Two cores are the smallest machine the suite is meant for; more workers than that fight over real sockets.
    maxWorkers: 2,
    // Properties that are searched ten times as long may take ten times as long: see test/support/properties.ts.
    testTimeout: 20_000 * Math.max(1, Number(process.env['SWITCHGEAR_PROPERTY_RUNS'] ?? '1')),
    hookTimeout: 20_000,
    reporters: ['default', './test/support/reporter.ts'],
    coverage: { provider: 'v8', include: ['src/**/*.ts'], reporter: ['text', 'html'] },
  },
});
