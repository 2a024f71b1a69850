/**
 * How long properties are searched: short in the ordinary run, `SWITCHGEAR_PROPERTY_RUNS` times as long when asked, from
 * `SWITCHGEAR_PROPERTY_SEED` when a failure is to be replayed. Where only the verdict counts, as in mutation testing,
 * `SWITCHGEAR_PROPERTY_SHRINK=off` leaves out the search for a smaller counterexample.
 */

export interface PropertyRuns {
  readonly numRuns: number;
  readonly seed?: number;
  readonly endOnFailure?: boolean;
}

/** `usual` runs of a property, multiplied and seeded as the environment says. */
export function propertyRuns(usual: number): PropertyRuns {
  const factor = Number(process.env['SWITCHGEAR_PROPERTY_RUNS'] ?? '1');
  const seed = process.env['SWITCHGEAR_PROPERTY_SEED'];
  if (!(factor > 0)) throw new TypeError(`expected SWITCHGEAR_PROPERTY_RUNS to be a factor, got: ${factor}`);
  return {
    numRuns: Math.ceil(usual * factor),
    ...(seed !== undefined && { seed: Number(seed) }),
    ...(process.env['SWITCHGEAR_PROPERTY_SHRINK'] === 'off' && { endOnFailure: true }),
  };
}
