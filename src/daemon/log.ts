/**
 * The daemon's log: JSON lines on standard output. Node's own stream is used, not pino's: that one writes to a pipe from
 * a thread which a reader that stalls blocks for good, and the process then cannot exit. Here a slow reader costs memory
 * up to a bound, then lines; it never delays a request or the end.
 */
import { pino, type Logger } from 'pino';

/** Lines that wait for a reader; beyond, they are dropped. */
const WAITING_MAX_BYTES = 16 * 1024 * 1024;

/** The part of Node's standard output that is used. */
export type LogStream = Pick<NodeJS.WriteStream, 'write' | 'on' | 'off' | 'writableLength'>;

export interface Log {
  readonly logger: Logger;
  /** Resolves when all lines so far are written or given up. */
  flush(): Promise<void>;
  /** Stops listening to the stream. */
  close(): void;
}

/** Opens the log at a level of pino. */
export function openLog(level: string, stream: LogStream): Log {
  let droppedLines = 0;
  // A reader that has left must not end the daemon.
  const ignore = (): void => undefined;
  stream.on('error', ignore);
  const options = { level, base: { service: 'switchgear' }, timestamp: pino.stdTimeFunctions.isoTime };
  const logger = pino(options, {
    write: (line) => {
      if (stream.writableLength > WAITING_MAX_BYTES) {
        droppedLines += 1;
        return;
      }
      const missed = droppedLines;
      droppedLines = 0;
      stream.write(line);
      if (missed > 0)
        logger.warn(
          { actor: 'daemon', droppedLines: missed },
          'the reader of this log is too slow: lines were dropped',
        );
    },
  });
  return {
    logger,
    flush: () => new Promise((resolve) => stream.write('', () => resolve())),
    close: () => stream.off('error', ignore),
  };
}
