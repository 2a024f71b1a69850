/**
 * "Did you mean": the known name nearest to one that is not known. Spelling conventions are the commonest slip (`api_key`,
 * `base-url`), a forgotten unit the next (`timeout`), a typo the last.
 */

/** Ends a message with the nearest of the known names, or with nothing when none is near. */
export function didYouMean(unknown: string, known: readonly string[]): string {
  const nearest = nearestName(unknown, known);
  return nearest === undefined ? '' : `; did you mean "${nearest}"?`;
}

function nearestName(unknown: string, known: readonly string[]): string | undefined {
  const flat = flatten(unknown);
  if (flat === '') return undefined;
  const sameLetters = known.find((name) => flatten(name) === flat);
  if (sameLetters !== undefined) return sameLetters;
  const ranked = known
    .map((name) => ({ name, distance: editDistance(flat, flatten(name)) }))
    .toSorted((left, right) => left.distance - right.distance);
  const best = ranked[0];
  if (best !== undefined && best.distance <= Math.max(1, Math.floor(flat.length / 4))) return best.name;
  const stem = flat.slice(0, Math.max(3, Math.ceil(flat.length * 0.75)));
  return flat.length < 3 ? undefined : known.find((name) => flatten(name).startsWith(stem));
}

function flatten(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '');
}

/** A typo is not long; comparing more than this is not worth its time. */
const comparedLengthMax = 64;

/** Levenshtein's distance, where two letters that changed places are one step (optimal string alignment). */
function editDistance(left: string, right: string): number {
  if (left.length > comparedLengthMax || right.length > comparedLengthMax) return Number.POSITIVE_INFINITY;
  let older: readonly number[] = [];
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (const [row, letter] of [...left].entries()) {
    const current = [row + 1];
    for (const [column, other] of [...right].entries()) {
      const substituted = (previous[column] ?? 0) + (letter === other ? 0 : 1);
      const isSwapped = row > 0 && column > 0 && letter === right[column - 1] && other === left[row - 1];
      const swapped = isSwapped ? (older[column - 1] ?? 0) + 1 : Number.POSITIVE_INFINITY;
      current.push(Math.min(substituted, swapped, (previous[column + 1] ?? 0) + 1, (current[column] ?? 0) + 1));
    }
    older = previous;
    previous = current;
  }
  return previous.at(-1) ?? 0;
}
