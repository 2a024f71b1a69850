import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

if (Number.parseInt(process.versions.node) < 24) {
  throw new Error(
    `expected Node to be 24 or later, got: ${process.versions.node}; run "npm rebuild node", then "npm test"`,
  );
}

// Every file has a thread of its own and many tests start programs: what Node has compiled once is read from then on.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(new URL('node_modules/.cache/compiled', import.meta.url));
// A zone that is half an hour off, so that what depends on where the process runs is seen.
process.env['TZ'] = 'America/St_Johns';

/**
 * Files that leave nothing of their thread changed and share one, which spares a hundred threads and as many times the
 * imports. Who measures memory has a thread alone; so has who counts sockets or timers, or starts programs.
 */
const FOLDERS =
  'actors|adapters|batches|catalogue|config|contracts|failures|network|policy|runtime|scenarios|simulator|telemetry';
const MEASURING = 'answer-parts|fair-queue|found-by-review|result-stream|shares';
const SHARING = `test/@(${FOLDERS})/**/!(${MEASURING}).test.ts`;

export default defineConfig({
  test: {
    projects: [
      { extends: true, test: { name: 'shared', include: [SHARING], isolate: false } },
      { extends: true, test: { name: 'alone', include: ['test/**/*.test.ts'], exclude: ['test/live/**', SHARING] } },
    ],
    pool: 'threads',
    // Two cores are the smallest machine the suite is meant for; more workers than that fight over real sockets.
    maxWorkers: 2,
    // Properties that are searched ten times as long may take ten times as long: see test/support/properties.ts.
    testTimeout: 20_000 * Math.max(1, Number(process.env['SWITCHGEAR_PROPERTY_RUNS'] ?? '1')),
    hookTimeout: 20_000,
    // What is waited for comes in no time, but on a machine that has other work.
    expect: { poll: { timeout: 10_000 } },
    reporters: ['default', './test/support/reporter.ts'],
    coverage: { provider: 'v8', include: ['src/**/*.ts'], reporter: ['text', 'html'] },
  },
});
