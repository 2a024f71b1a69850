/** The one place of the running service that reads the machine's clocks, timers and randomness. */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../contract/clock.ts';

/** Longest delay Node's timers take; a longer one would fire at once. */
const DELAY_MAX_MS = 2_147_483_647;

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimeout: (callback, delayMs) => setTimeout(callback, Math.min(Math.max(0, delayMs), DELAY_MAX_MS)),
  clearTimeout: (handle) => {
    // Every handle came from `setTimeout` above.
    clearTimeout(handle as NodeJS.Timeout);
  },
  random: () => Math.random(),
  randomBytes: (size) => randomBytes(size),
};
