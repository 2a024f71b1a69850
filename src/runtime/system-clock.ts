/** The one place of the running service that reads the machine's clocks, timers and randomness. */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../contract/clock.ts';

/** Longest delay Node's timers take; a longer one would fire at once. */
const DELAY_MAX_MS = 2_147_483_647;
/** A draw from the system costs as much as a hundred ids: so many bytes are drawn at once. */
const POOL_BYTES = 4_096;

let pool = new Uint8Array();

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimeout: (callback, delayMs) => setTimeout(callback, Math.min(Math.max(0, delayMs), DELAY_MAX_MS)),
  clearTimeout: (handle) => {
    // Every handle came from `setTimeout` above.
    clearTimeout(handle as NodeJS.Timeout);
  },
  random: () => Math.random(),
  randomBytes: (size) => {
    if (size > pool.length) pool = randomBytes(Math.max(size, POOL_BYTES));
    const drawn = pool.subarray(0, size);
    pool = pool.subarray(size);
    return drawn;
  },
};
