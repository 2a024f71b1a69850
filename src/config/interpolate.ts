/**
 * Environment variables in a config: `${NAME}`, `${NAME:-default}` when the variable is unset or empty, and `$${` for a
 * literal `${`. A variable that is not set is an empty string, so that `enabled: whenKeyed` can see that a key is missing.
 * The walk copies maps and lists, remembers which values came from the environment (they are never echoed), and leaves
 * everything else, such as functions in an adapter's options, as it is.
 */
import type { ConfigProblem } from '../contract/config.ts';

export type Environment = Readonly<Record<string, string | undefined>>;
export type ConfigPath = readonly (string | number)[];

/** A config whose variables are filled in. */
export interface Interpolated {
  readonly tree: unknown;
  /** What was written at a path whose value came from the environment, by dotted path. */
  readonly templates: ReadonlyMap<string, string>;
  readonly problems: readonly ConfigProblem[];
}

/** Deeper than any config; protects from objects that contain themselves. */
const depthMax = 32;

/** Fills in the environment variables of a parsed config. */
export function interpolate(input: unknown, environment: Environment): Interpolated {
  const templates = new Map<string, string>();
  const problems: ConfigProblem[] = [];

  const visit = (value: unknown, path: ConfigPath): unknown => {
    if (typeof value === 'string') return visitString(value, path);
    if (typeof value !== 'object' || value === null) return value;
    if (path.length > depthMax) {
      problems.push({ path: formatPath(path.slice(0, 8)), message: `expected at most ${depthMax} levels, got: more` });
      return undefined;
    }
    if (Array.isArray(value)) return value.map((item, index) => visit(item, [...path, index]));
    if (!isPlainObject(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, visit(item, [...path, key])]));
  };

  const visitString = (text: string, path: ConfigPath): string => {
    if (!text.includes('${')) return text;
    const { filled, isTemplate, problem } = fill(text, environment);
    if (isTemplate) templates.set(formatPath(path), text);
    if (problem !== undefined) problems.push({ path: formatPath(path), message: problem });
    return filled;
  };

  return { tree: visit(input, []), templates, problems };
}

/** A path as people write it: `providers.openai.models.0`. */
export function formatPath(path: ConfigPath): string {
  return path.join('.');
}

/** Whether a value is a map: an object literal, not an instance of something. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

const PLACEHOLDER = /(\$)?\$\{([^{}]*)(\})?/g;
const VARIABLE = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s;

function fill(
  text: string,
  environment: Environment,
): { readonly filled: string; readonly isTemplate: boolean; readonly problem: string | undefined } {
  let isTemplate = false;
  let problem: string | undefined;
  const filled = text.replace(
    PLACEHOLDER,
    (whole: string, escape: string | undefined, inside: string, end: string | undefined) => {
      if (escape !== undefined) return whole.slice(1);
      isTemplate = true;
      const variable = end === undefined ? null : VARIABLE.exec(inside);
      if (variable === null) {
        // What stands inside may be half a secret, so it is not repeated.
        problem = 'expected ${NAME} or ${NAME:-default}, got: something else after "${"; write $${ for a literal ${';
        return '';
      }
      const [, name = '', fallback] = variable;
      const value = environment[name];
      return value === undefined || value === '' ? (fallback ?? '') : value;
    },
  );
  return { filled, isTemplate, problem };
}
