/** The engine in the caller's own thread: for tests and tools, where a commit may take the time it takes. */
import { Engine, type EngineOptions, type Stopwatch } from './engine.ts';
import type { Host } from './gateway.ts';

export interface InlineHostChanges {
  /**
   * Default `queueMicrotask`: in virtual time a group is committed before the next timer. A caller that never lets the event
   * loop turn keeps its timers from it then, and has to take `setImmediate`.
   */
  readonly afterTurn?: Host['afterTurn'];
  /** Default: one that stands still. */
  readonly stopwatchMs?: Stopwatch;
}

/** @throws {SwitchgearError} `store-unavailable` that says what to do */
export function createInlineHost(
  options: EngineOptions,
  { afterTurn = queueMicrotask, stopwatchMs = () => 0 }: InlineHostChanges = {},
): Host {
  const engine = new Engine(options, stopwatchMs);
  return {
    run: async (group) => engine.run(group),
    afterTurn,
    close: async () => {
      engine.close();
    },
    // It is never in a call while anybody else is.
    abandon: () => undefined,
  };
}
