/** Whether this machine can trace, asked once. */
import { findTraceProblem } from './trace.ts';

const problem = findTraceProblem();

/**
 * True where tests that need a trace can run. Elsewhere they are left out, with a line that says why.
 */
export function canTrace(): boolean {
  if (problem === undefined) return true;
  process.stderr.write(`left out: what is shown by tracing system calls, because ${problem}\n`);
  return false;
}
