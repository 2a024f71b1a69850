/** Everything the engine can be asked, by name. */
import type { EngineContext } from './engine.ts';
import { createBatchLineOperations } from './batch-line-operations.ts';
import { createBatchOperations } from './batch-operations.ts';
import { createExpiryOperations } from './expiry-operations.ts';
import { createFileOperations } from './file-operations.ts';
import { createLedgerOperations } from './ledger-operations.ts';
import { createParkingOperations } from './parking-operations.ts';
import { createRecoveryOperations } from './recovery-operations.ts';
import { createRequestOperations } from './request-operations.ts';
import { createStateOperations } from './state-operations.ts';
import { createWebhookOperations } from './webhook-operations.ts';

export type Operations = ReturnType<typeof createOperations>;
export type OperationName = keyof Operations;

export function createOperations(context: EngineContext) {
  return {
    ...createRequestOperations(context),
    ...createParkingOperations(context),
    ...createRecoveryOperations(context),
    ...createExpiryOperations(context),
    ...createLedgerOperations(context),
    ...createStateOperations(context),
    ...createWebhookOperations(context),
    ...createBatchOperations(context),
    ...createBatchLineOperations(context),
    ...createFileOperations(context),
  };
}
