/** The port to time and chance. Nothing outside its implementations reads a clock, a timer or a random source. */

/** Opaque: pass it back to `clearTimeout`. */
export type TimerHandle = object | number;

export interface Clock {
  /** Monotonic ms. Every decision uses this one. */
  nowMs(): number;
  /** Wall clock, epoch ms. For records and humans only. */
  wallMs(): number;
  setTimeout(callback: () => void, delayMs: number): TimerHandle;
  clearTimeout(handle: TimerHandle): void;
  /** In [0, 1). */
  random(): number;
  randomBytes(size: number): Uint8Array;
}

/**
 * Epoch ms that only go forward: the wall clock as it was now, and the monotonic one since then. For moments that are
 * compared with those of another process and shall not jump within this one.
 */
export function steadyWall(clock: Clock): () => number {
  const offsetMs = clock.wallMs() - clock.nowMs();
  return () => offsetMs + clock.nowMs();
}
