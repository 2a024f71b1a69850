/**
 * How the edge checks what users send. A zod schema says what a value must be in the words of the error message, so that
 * one sentence (`expected <name> to be <what>, got: <value>`) comes out of every mistake. Texts are described by their
 * length, never quoted: a body holds prompts.
 */
import { z } from 'zod';
import { SwitchgearError } from '../contract/errors.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

/** Any JSON object; fields beyond a schema's own are kept. */
export const jsonObject = z.record(z.string(), z.unknown(), { error: 'an object' });

const FUNCTION_NAME = 'a function name of 1 to 128 letters, digits, _, - and .';

/** The name of a tool. */
export const functionName = z.string({ error: FUNCTION_NAME }).regex(/^[\w.-]{1,128}$/, { error: FUNCTION_NAME });

/** A text that says something. `what` is how the error message calls it. */
export function text(what = 'a non-empty string'): z.ZodString {
  return z.string({ error: what }).min(1, { error: what });
}

/** Both ends included. */
export function numberBetween(min: number, max: number): z.ZodNumber {
  const error = `a number from ${min} to ${max}`;
  return z.number({ error }).min(min, { error }).max(max, { error });
}

/** Both ends included. */
export function integerBetween(min: number, max: number): z.ZodNumber {
  const error = `an integer from ${min} to ${max}`;
  return z.number({ error }).int({ error }).min(min, { error }).max(max, { error });
}

/** A boolean. */
export function flag(): z.ZodBoolean {
  return z.boolean({ error: 'true or false' });
}

/**
 * Parses one value against a schema. `path` is how the caller names it.
 * @throws {SwitchgearError} `invalid-request`
 */
export function check<Schema extends z.ZodType>(schema: Schema, value: unknown, path: string): z.infer<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const steps = issue?.path ?? [];
  const param = steps.reduce<string>((name, step) => join(name, step), path);
  const actual = steps.reduce<unknown>((parent, step) => read(parent, step), value);
  throw refuse(param, issue?.message ?? 'valid', actual);
}

/** An `invalid-request` that names one field. */
export function refuse(param: string, what: string, actual: unknown): SwitchgearError {
  return new SwitchgearError('invalid-request', `expected ${param} to be ${what}, got: ${describe(actual)}`, { param });
}

const NAME_SHOWN_MAX = 100;

/** The same for a name that an operator typed, which may be repeated. `hint` ends the message. */
export function refuseNamed(refused: {
  readonly param: string;
  readonly what: string;
  readonly name: string;
  readonly hint: string;
}): SwitchgearError {
  const { param, what, name, hint } = refused;
  const message = `expected ${param} to be ${what}, got: ${shorten(name)}${hint}`;
  return new SwitchgearError('invalid-request', message, { param });
}

/** A name that may be shown, but not at any length. */
export function shorten(name: string): string {
  return name.length > NAME_SHOWN_MAX ? `${name.slice(0, NAME_SHOWN_MAX)}…` : name;
}

const NAMES_SHOWN_MAX = 20;

/** Names that would have been right, but not all of a long list. */
export function listNames(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_SHOWN_MAX).join(', ');
  return names.length > NAMES_SHOWN_MAX ? `${shown}, …` : shown;
}

/** The name of a field inside another: `messages[0].content`. */
export function join(path: string, step: PropertyKey): string {
  if (typeof step === 'number') return `${path}[${step}]`;
  return path === '' ? String(step) : `${path}.${String(step)}`;
}

/** Says what a value is without showing text. */
function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return `a string of ${value.length} characters`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  return 'an object';
}

function read(parent: unknown, step: PropertyKey): unknown {
  if (typeof parent !== 'object' || parent === null) return undefined;
  return Object.getOwnPropertyDescriptor(parent, step)?.value;
}
