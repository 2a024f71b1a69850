/**
 * Chance that a seed repeats: the simulator's failures and latencies are the same in every run with the same seed and the
 * same order of requests.
 */

/** How long something takes, in ms. */
export type Distribution =
  | { readonly kind: 'constant'; readonly ms: number }
  | { readonly kind: 'uniform'; readonly minMs: number; readonly maxMs: number }
  /** The shape of real latencies: half are below `medianMs`, few are far above; `sigma` 0.5 puts 5 % above 2.3 times it. */
  | { readonly kind: 'lognormal'; readonly medianMs: number; readonly sigma: number };

/** Longest latency that a draw may come to. */
const latencyMsMax = 600_000;

/** Builds Mulberry32, by Tommy Ettinger (public domain): numbers in [0, 1) from 32 bits of state. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Draws one duration. Every call takes two numbers, whatever the kind, so that changing it shifts nothing else. */
export function drawMs(distribution: Distribution, random: () => number): number {
  const [first, second] = [random(), random()];
  switch (distribution.kind) {
    case 'constant':
      return distribution.ms;
    case 'uniform':
      return distribution.minMs + first * (distribution.maxMs - distribution.minMs);
    case 'lognormal': {
      // Box-Muller; 1 - first is in (0, 1], so that the logarithm exists.
      const normal = Math.sqrt(-2 * Math.log(1 - first)) * Math.cos(2 * Math.PI * second);
      return Math.min(latencyMsMax, distribution.medianMs * Math.exp(distribution.sigma * normal));
    }
  }
}
