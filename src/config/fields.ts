/**
 * The kinds of fields a config is made of. Each tells in words what it expects, once for all the ways a value can fail.
 * Values that came from the environment are strings, so numbers and booleans are also read from quotes.
 */
import { z } from 'zod';

import { didYouMean } from './suggest.ts';

/** The longest delay a timer keeps: 2^31 − 1 ms, about 24 days. */
const delayMsMax = 2_147_483_647;

/** A map with exactly these keys; an unknown key is told with the nearest known one, a line each. */
export function section<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys
            .map((key) => `expected a known option, got: "${key}"${didYouMean(key, Object.keys(shape))}`)
            .join('\n')
        : 'expected a map',
  });
}

/** An integer in a range, ends included. */
export function integer(minimum: number, maximum: number, unit = '') {
  const error = `expected an integer from ${minimum} to ${maximum}${unit === '' ? '' : ` (${unit})`}`;
  return z.preprocess(toNumber, z.number({ error }).int({ error }).min(minimum, { error }).max(maximum, { error }));
}

/** A duration. */
export function milliseconds(minimum: number, maximum = delayMsMax) {
  return integer(minimum, maximum, 'ms');
}

/** A number in a range, ends included. */
export function decimal(minimum: number, maximum: number, unit = '') {
  const error = `expected a number from ${minimum} to ${maximum}${unit === '' ? '' : ` (${unit})`}`;
  return z.preprocess(toNumber, z.number({ error }).min(minimum, { error }).max(maximum, { error }));
}

/** True or false. */
export function flag() {
  return z.preprocess(toBoolean, z.boolean({ error: 'expected true or false' }));
}

/** A string with something in it, or one that matches a pattern. */
export function text(what: string, pattern = /\S/) {
  const error = `expected ${what}`;
  return z.string({ error }).regex(pattern, { error });
}

/** One of a closed set of words. */
export function oneOf<const Value extends string>(values: readonly [Value, ...Value[]]) {
  return z.enum(values, { error: `expected one of ${values.join(', ')}` });
}

function toNumber(value: unknown): unknown {
  return typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
}

/** Reads `true` and `false` in quotes; everything else stays as it is. */
export function toBoolean(value: unknown): unknown {
  return value === 'true' ? true : value === 'false' ? false : value;
}
