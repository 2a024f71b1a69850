/**
 * What the process is told from outside, as three promises and one callback: the first signal asks to stop, the second
 * to stop now, SIGHUP to read the config again, and an exception nobody caught means that nothing can be relied on.
 *
 * One Ctrl-C under npm arrives twice: from the terminal, which tells the whole foreground group, and from npm, which
 * passes it on. A second signal within `ECHO_MS` of the first is therefore taken for its echo.
 */
import type { Clock } from '../contract/clock.ts';
import type { StopSignal } from './exit-code.ts';

const ECHO_MS = 150;

/** The part of Node's `process` that is listened to. */
export type SignalSource = Pick<NodeJS.Process, 'on' | 'off'>;

export interface SignalWatch {
  /** Resolves with the first SIGTERM or SIGINT. */
  readonly stop: Promise<StopSignal>;
  /** Resolves with the second one. */
  readonly stopNow: Promise<StopSignal>;
  /** Resolves with the first exception or rejection that nothing caught. */
  readonly crash: Promise<unknown>;
  /** Stops listening. */
  close(): void;
}

export interface SignalWatchOptions {
  readonly source: SignalSource;
  readonly clock: Clock;
  readonly reload: () => void;
  /** Told of every uncaught exception, also of those after the first. */
  readonly crashed: (error: unknown) => void;
}

/** Starts listening. From now on signals no longer end the process by themselves. */
export function watchSignals(options: SignalWatchOptions): SignalWatch {
  const { source, clock } = options;
  const stop = Promise.withResolvers<StopSignal>();
  const stopNow = Promise.withResolvers<StopSignal>();
  const crash = Promise.withResolvers<unknown>();
  let stoppedAtMs: number | undefined;

  const onStop = (signal: NodeJS.Signals): void => {
    if (signal !== 'SIGTERM' && signal !== 'SIGINT') return;
    if (stoppedAtMs === undefined) {
      stoppedAtMs = clock.nowMs();
      stop.resolve(signal);
    } else if (clock.nowMs() - stoppedAtMs >= ECHO_MS) {
      stopNow.resolve(signal);
    }
  };
  const onCrash = (error: unknown): void => {
    options.crashed(error);
    crash.resolve(error);
  };

  source.on('SIGTERM', onStop);
  source.on('SIGINT', onStop);
  source.on('SIGHUP', options.reload);
  // Node turns an unhandled rejection into an uncaught exception.
  source.on('uncaughtException', onCrash);
  return {
    stop: stop.promise,
    stopNow: stopNow.promise,
    crash: crash.promise,
    close: () => {
      source.off('SIGTERM', onStop);
      source.off('SIGINT', onStop);
      source.off('SIGHUP', options.reload);
      source.off('uncaughtException', onCrash);
    },
  };
}
