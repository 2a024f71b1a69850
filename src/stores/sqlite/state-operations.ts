/** What providers' actors know, by provider name. */
import type { EngineContext } from './engine.ts';

export function createStateOperations({ prepare, run }: EngineContext) {
  return {
    loadStates(): readonly (readonly [string, string])[] {
      const rows = prepare(`SELECT name, state FROM states`).all();
      return rows.map((row) => [String(row['name']), String(row['state'])]);
    },

    saveState(name: string, state: string): void {
      run(
        `INSERT INTO states (name, state) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET state = excluded.state`,
        name,
        state,
      );
    },
  };
}
