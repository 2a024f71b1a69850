/** The ledger's entries and daily totals. */
import type { EngineContext } from './engine.ts';

export function createLedgerOperations(_context: EngineContext) {
  return {};
}
