/** Errors that wrap each other. */

const CAUSE_DEPTH_MAX = 5;

/** Finds the first error in a chain of causes that satisfies `isWanted`. */
export function findInChain<Wanted>(error: unknown, isWanted: (error: unknown) => error is Wanted): Wanted | undefined {
  let current = error;
  for (let depth = 0; depth < CAUSE_DEPTH_MAX; depth += 1) {
    if (isWanted(current)) return current;
    if (!(current instanceof Error)) return undefined;
    current = current.cause;
  }
  return undefined;
}
