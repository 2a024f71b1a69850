/** Hears of the end of one process, whoever supervises it: OTP's monitors. */
import { type ExitReason, type Process, tellQuietly } from './process.ts';

/** `noproc`: it had ended before anybody watched. */
export type Down = { readonly id: string; readonly reason: ExitReason | { readonly kind: 'noproc' } };

/**
 * Calls `onDown` exactly once when the process has ended, never before this function has returned. What it throws is its own
 * affair. The function that is given back ends the watch: after it nothing is told, also of an end that has been.
 */
export function monitor(process: Process, onDown: (down: Down) => void): () => void {
  let isWatching = true;
  let hasReturned = false;
  const listener = (reason: ExitReason) => {
    const down: Down = { id: process.id, reason: hasReturned ? reason : { kind: 'noproc' } };
    queueMicrotask(() => {
      if (!isWatching) return;
      isWatching = false;
      tellQuietly(() => onDown(down));
    });
  };
  process.onExit(listener);
  hasReturned = true;
  return () => {
    isWatching = false;
    process.offExit?.(listener);
  };
}
