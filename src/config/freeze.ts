/** Makes a value unchangeable all the way down, maps and lists only: what an adapter's options hold beside is not ours. */
import { isPlainObject } from './interpolate.ts';

/** Freezes a tree of maps and lists in place. */
export function deepFreeze<Value>(value: Value): Value {
  if (Array.isArray(value)) for (const item of value) deepFreeze(item);
  else if (isPlainObject(value)) for (const item of Object.values(value)) deepFreeze(item);
  else return value;
  return Object.freeze(value);
}
