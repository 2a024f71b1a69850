/** Waiting for a reader: a slow one slows whoever writes to it, and one who takes nothing for too long is disconnected. */
import type { ServerResponse } from 'node:http';
import type { Edge } from './edge.ts';

/** Resolves when the response takes more, or is closed. Never rejects. */
export function drained(response: ServerResponse, { clock, limits }: Pick<Edge, 'clock' | 'limits'>): Promise<void> {
  return new Promise((resolve) => {
    if (response.destroyed) {
      resolve();
      return;
    }
    const timer = clock.setTimeout(() => response.destroy(), limits.readerStallMs);
    const finish = () => {
      clock.clearTimeout(timer);
      response.off('drain', finish).off('close', finish);
      resolve();
    };
    response.on('drain', finish).on('close', finish);
  });
}
