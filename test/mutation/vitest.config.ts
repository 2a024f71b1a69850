/**
 * The tests of one mutation group. Stryker's own `testFiles` is not used to narrow them down: with it Stryker 10.1 activates
 * mutants of module constants only after the module was loaded, and every one of them survives.
 */
import { defineConfig } from 'vitest/config';

// As in the ordinary run.
process.env['TZ'] = 'America/St_Johns';

export default defineConfig({
  test: {
    include: process.env['SWITCHGEAR_MUTATION_TESTS']?.split(',') ?? [],
    testTimeout: 60_000,
  },
});
