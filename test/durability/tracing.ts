/** Whether this machine can trace, asked once. */
import { findTraceProblem } from './trace.ts';

const problem = findTraceProblem();

/**
 * True where tests that need a trace can run. Elsewhere they are left out, with a line that says why; where everything is
 * meant to be there, they are not.
 * @throws {Error} in CI
 */
export function canTrace(): boolean {
  if (problem === undefined) return true;
  if (process.env['CI'] !== undefined) throw new Error(`expected CI to be able to trace processes, got: ${problem}`);
  process.stderr.write(`left out: what is shown by tracing system calls, because ${problem}\n`);
  return false;
}
