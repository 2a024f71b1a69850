/** The engine in the caller's own thread: for tests and tools, where a commit may take the time it takes. */
import { Engine, type EngineOptions } from './engine.ts';
import type { Host } from './gateway.ts';

/** @throws {SwitchgearError} `store-unavailable` that says what to do */
export function createInlineHost(options: EngineOptions): Host {
  const engine = new Engine(options);
  return {
    run: async (group) => engine.run(group),
    afterTurn: queueMicrotask,
    close: async () => {
      engine.close();
    },
  };
}
