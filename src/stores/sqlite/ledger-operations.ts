/** Everything that the engine does for the ledger. */
import type { EngineContext } from './engine.ts';
import { createLedgerAppendOperations } from './ledger-append-operations.ts';
import { createLedgerFoldOperations } from './ledger-fold-operations.ts';
import { createLedgerGroupOperations } from './ledger-groups.ts';
import { createLedgerScanOperations } from './ledger-scan-operations.ts';

/** Operations of the ledger, by name. */
export function createLedgerOperations(context: EngineContext) {
  return {
    ...createLedgerAppendOperations(context),
    ...createLedgerScanOperations(context),
    ...createLedgerFoldOperations(context),
    ...createLedgerGroupOperations(context),
  };
}
