/** The ledger in the same file as the request records. */
import type { Clock } from '../../contract/clock.ts';
import type { Ledger, LedgerEntry, LedgerQuery } from '../../contract/records.ts';
import type { CostSummary } from '../../contract/state.ts';
import type { Gateway } from './gateway.ts';

export class SqliteLedger implements Ledger {
  constructor(_gateway: Gateway, _options: { readonly clock: Clock; readonly retainDays: number }) {}
  append(_entries: readonly LedgerEntry[]): Promise<void> {
    throw new Error('not yet');
  }
  summary(_query: LedgerQuery, _nowMs: number): Promise<CostSummary> {
    throw new Error('not yet');
  }
  entriesFor(_requestId: string): Promise<readonly LedgerEntry[]> {
    throw new Error('not yet');
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}
