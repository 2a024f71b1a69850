/**
 * How a mistake in a config is told: by its path, with what was expected and what was found. A value is only repeated
 * where it cannot be a secret: nothing from the environment, no key, header or proxy, and whatever else looks like a key is
 * blotted out of every message at the end.
 */
import type { $ZodIssue } from 'zod/v4/core';

import type { ConfigProblem } from '../contract/config.ts';
import { SwitchgearError } from '../contract/errors.ts';
import { formatPath, isPlainObject, type ConfigPath, type Environment } from './interpolate.ts';

/** What is needed to show a value without showing a secret. */
export interface Disclosure {
  readonly tree: unknown;
  readonly templates: ReadonlyMap<string, string>;
}

/** What the schema found, one problem for every mistake. */
export function problemsOf(issues: readonly $ZodIssue[], disclosure: Disclosure): readonly ConfigProblem[] {
  return issues.flatMap((issue) => {
    const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
    if (issue.code === 'unrecognized_keys') {
      // The schema's message has one line for every unknown key, in the order of `keys` (see `section` in schema.ts).
      const messages = issue.message.split('\n');
      return issue.keys.map((key, index) => ({
        path: formatPath([...path, key]),
        message: messages[index] ?? issue.message,
      }));
    }
    return [{ path: formatPath(path), message: `${issue.message}, got: ${describeAt(path, disclosure)}` }];
  });
}

/** Describes the value at a path, or says that it is hidden. */
function describeAt(path: ConfigPath, { tree, templates }: Disclosure): string {
  const template = templates.get(formatPath(path));
  if (template !== undefined) return `the value of ${template.replace(/:-[^{}]*\}/g, '}')} (hidden)`;
  const value = path.reduce<unknown>(childOf, tree);
  const isScalar = (typeof value === 'string' && value !== '') || typeof value === 'number';
  return isScalar && isSecretAt(path, String(value)) ? '(hidden)' : describe(value);
}

function childOf(parent: unknown, key: string | number): unknown {
  if (Array.isArray(parent)) return typeof key === 'number' ? parent[key] : undefined;
  return isPlainObject(parent) && Object.hasOwn(parent, key) ? parent[key] : undefined;
}

const SECRET_FIELDS = ['apiKey', 'apiKeys', 'headers', 'query', 'proxy'];

/** Receivers' URLs often hold a token in their path. */
const WEBHOOK_SECRET_FIELDS = ['url', 'secret'];

function isSecretAt(path: ConfigPath, value: string): boolean {
  if (path[0] === 'webhooks') return WEBHOOK_SECRET_FIELDS.includes(String(path[1]));
  if (path[0] !== 'providers' || path[2] === undefined) return false;
  const field = String(path[2]);
  return SECRET_FIELDS.includes(field) || field === 'options' || (field === 'baseURL' && value.includes('@'));
}

const shownLengthMax = 60;

/** Describes any value in a few words. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string')
    return JSON.stringify(value.length > shownLengthMax ? `${value.slice(0, shownLengthMax)}…` : value);
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint' || value === null)
    return String(value);
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  return typeof value === 'object' ? 'a map' : `a ${typeof value}`;
}

/** Shorter strings are no secrets, and blotting them out would make messages unreadable. */
const secretLengthMin = 8;
const LOOKS_SECRET = /\b(?:sk|pk|rk|gsk|xai|sess|ghp|AIza)[-_]?[A-Za-z0-9_-]{12,}|\bwhsec_[A-Za-z0-9+/=_-]{12,}/g;

/** Blots out every known secret and everything that looks like a key. */
export function scrub(text: string, secrets: readonly string[]): string {
  const known = secrets.filter((secret) => secret.length >= secretLengthMin);
  return known.reduce((rest, secret) => rest.replaceAll(secret, '[hidden]'), text).replace(LOOKS_SECRET, '[hidden]');
}

/** Everything that must not be repeated: keys and the like, and whatever the config took from the environment. */
export function secretsOf({ tree, templates }: Disclosure, environment: Environment): readonly string[] {
  const written = [...templates.values()].join('\n');
  const fromEnvironment = Object.entries(environment)
    .filter(([name]) => /KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL/i.test(name) || written.includes(`\${${name}`))
    .map(([, value]) => value?.trim() ?? '');
  const providers = childOf(tree, 'providers');
  const fromProviders = isPlainObject(providers)
    ? Object.values(providers).flatMap((provider) =>
        SECRET_FIELDS.flatMap((field) => stringsIn(childOf(provider, field))),
      )
    : [];
  const fromWebhooks = stringsIn(childOf(childOf(tree, 'webhooks'), 'secret'));
  // The longest first, so that a secret that contains another is blotted out whole.
  return [...new Set([...fromEnvironment, ...fromProviders, ...fromWebhooks])].toSorted(
    (left, right) => right.length - left.length,
  );
}

function stringsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value.trim()];
  if (Array.isArray(value)) return value.flatMap(stringsIn);
  return isPlainObject(value) ? Object.values(value).flatMap(stringsIn) : [];
}

/** The message lists this many problems; `cause.problems` has them all. */
const listedProblemsMax = 100;

/** The error for a config with mistakes: a line for each, and all of them in `cause.problems`. */
export function invalidConfig(source: string, problems: readonly ConfigProblem[]): SwitchgearError {
  const lines = problems
    .slice(0, listedProblemsMax)
    .map(({ path, message }) => (path === '' ? `  ${message}` : `  ${path}: ${message}`));
  const rest = problems.length - lines.length;
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  const message = [
    `expected ${source} to be valid, got ${count}:`,
    ...lines,
    ...(rest > 0 ? [`  … and ${rest} more`] : []),
  ].join('\n');
  const first = problems[0]?.path;
  return new SwitchgearError('invalid-config', message, {
    cause: { problems },
    ...(first !== undefined && first !== '' && { param: first }),
  });
}
