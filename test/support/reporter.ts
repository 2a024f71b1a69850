/**
 * Ends a test run with one plain line, `N passed, N failed`, that people and machines can read without knowing vitest.
 * Whatever keeps a test from running counts as failed: a file that does not load, a broken `beforeAll`, an error that
 * nobody awaited. The line is written when the process exits, so that nothing comes after it.
 */
import type { Reporter, TestModule, TestRunEndReason } from 'vitest/node';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Counts the tests of a finished run. Never reports zero failures for a run that ended as failed. */
export function countTests(
  modules: readonly TestModule[],
  unhandledErrors: readonly unknown[],
  reason: TestRunEndReason,
): Counts {
  let passed = 0;
  let failed = unhandledErrors.length;
  let skipped = 0;
  for (const module of modules) {
    failed += module.errors().length;
    for (const suite of module.children.allSuites()) failed += suite.errors().length;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') passed += 1;
      else if (state === 'skipped') skipped += 1;
      // `pending`: the run ended before this test did.
      else failed += 1;
    }
  }
  // No test found, or an interrupted run: nothing failed by name, but the run did not succeed either.
  if (failed === 0 && (reason !== 'passed' || modules.length === 0)) failed = 1;
  return { passed, failed, skipped };
}

/** Renders the closing line. */
export function renderCounts({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

/** The vitest reporter; vitest loads reporters by their default export. */
export default class ClosingLineReporter implements Reporter {
  #line: string | undefined;

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[], reason: TestRunEndReason): void {
    if (this.#line === undefined) process.once('exit', () => process.stdout.write(`${this.#line}\n`));
    this.#line = renderCounts(countTests(modules, unhandledErrors, reason));
  }
}
