/**
 * Says in plain words what is wrong with options that a person wrote. zod finds the mistakes; the words are ours, the same
 * for each of them: which option, what was expected, what is there.
 */
import type { z } from 'zod';
import type { ConfigProblem } from '../../contract/config.ts';

/** Longest piece of an unexpected value that a message quotes. */
const quotedMax = 60;

/**
 * Turns the issues of a parse with `reportInput: true` into one problem each, with paths under `root`. What stands under
 * an option in `secrets` is never quoted.
 */
export function describeIssues(
  issues: readonly z.core.$ZodIssue[],
  root: string,
  secrets: readonly string[] = [],
): readonly ConfigProblem[] {
  return issues.flatMap((issue) => {
    const isSecret = secrets.includes(String(issue.path[0]));
    const join = (...steps: readonly string[]) =>
      [root, ...issue.path.map(String), ...steps].filter((step) => step !== '').join('.');
    const path = join();
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({
        path: join(key),
        message: `expected ${path === '' ? 'the options' : path} to have only known keys, got: ${key}`,
      }));
    }
    return [
      {
        path,
        message: `expected ${path} to be ${describeExpected(issue)}, got: ${isSecret ? 'something else' : quote(issue.input)}`,
      },
    ];
  });
}

function describeExpected(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return NAMED_TYPES[issue.expected] ?? issue.expected;
    case 'invalid_value':
      return issue.values.length === 1 ? String(issue.values[0]) : `one of ${issue.values.map(String).join(', ')}`;
    case 'too_small':
      return `${SIZES[issue.origin] ?? ''}${issue.inclusive === true ? 'at least' : 'more than'} ${issue.minimum}`;
    case 'too_big':
      return `${SIZES[issue.origin] ?? ''}${issue.inclusive === true ? 'at most' : 'less than'} ${issue.maximum}`;
    default:
      // Every other rule is written with its own words for what it expects.
      return issue.message;
  }
}

const NAMED_TYPES: Readonly<Record<string, string>> = {
  int: 'a whole number',
  number: 'a number',
  string: 'a text',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

const SIZES: Readonly<Record<string, string>> = { string: 'of a length of ', array: 'of a length of ' };

function quote(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > quotedMax ? `${text.slice(0, quotedMax)}…` : text;
}
