/** Says what is wrong with the `options` of a provider: every mistake by its path, in the message and in `cause.problems`. */
import type { ConfigProblem } from '../contract/config.ts';
import { SwitchgearError } from '../contract/errors.ts';

/** What a schema found. */
export interface OptionIssue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  /** The names of unknown options. */
  readonly keys?: readonly string[];
}

/** The error for options with mistakes, of which there is at least one. */
export function invalidOptions(provider: string, issues: readonly OptionIssue[]): SwitchgearError {
  const problems = issues.flatMap((issue) => problemsOf(provider, issue));
  const message = problems.map((problem) => `${problem.path}: ${problem.message}`).join('; ');
  const param = problems[0]?.path ?? `providers.${provider}.options`;
  return new SwitchgearError('invalid-config', message, { provider, param, cause: { problems } });
}

function problemsOf(provider: string, { path, message, keys }: OptionIssue): readonly ConfigProblem[] {
  const base = ['providers', provider, 'options', ...path.map(String)].join('.');
  if (keys === undefined) return [{ path: base, message }];
  return keys.map((key) => ({ path: `${base}.${key}`, message: `expected a known option, got: "${key}"` }));
}
