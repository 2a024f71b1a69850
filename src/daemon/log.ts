/**
 * The daemon's log: JSON lines on standard output, written in the background so that a slow reader of the log slows no
 * request. The price is that lines may still be on their way when the process wants to end: `close` waits for them.
 */
import { once } from 'node:events';
import { pino, type Logger } from 'pino';

/** Lines that wait for a reader; beyond, they are dropped. */
const WAITING_MAX_BYTES = 16 * 1024 * 1024;
const STANDARD_OUTPUT = 1;

export interface Log {
  readonly logger: Logger;
  /** Resolves when everything is written, or when there is nobody to read it. */
  close(): Promise<void>;
}

/** Opens the log at a level of pino. */
export function openLog(level: string): Log {
  const destination = pino.destination({ dest: STANDARD_OUTPUT, sync: false, minLength: 0, maxLength: WAITING_MAX_BYTES });
  let isBroken = false;
  // A reader that left must not end the daemon; pino itself goes quiet then.
  destination.on('error', () => {
    isBroken = true;
  });
  const logger = pino({ level, base: { service: 'switchgear' }, timestamp: pino.stdTimeFunctions.isoTime }, destination);
  return {
    logger,
    close: async () => {
      if (isBroken) return;
      const closed = once(destination, 'close').catch(() => undefined);
      destination.end();
      await closed;
    },
  };
}
