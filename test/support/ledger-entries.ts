/** Entries for the ledger's tests. */
import type { LedgerEntry } from '../../src/contract/records.ts';

export const dayMs = 86_400_000;
export const startMs = Date.UTC(2026, 10, 21);

/** An answered attempt at the beginning of time that cost a thousand nano-dollars. */
export function ledgerEntry(changes: Partial<LedgerEntry> = {}): LedgerEntry {
  return {
    at: startMs,
    requestId: 'req_1',
    attempt: 1,
    provider: 'openai',
    model: 'gpt-4.1',
    tenant: 'default',
    tags: {},
    outcome: 'answered',
    usage: { inputTokens: 100, outputTokens: 10 },
    costNanos: 1000,
    isEstimate: false,
    ...changes,
  };
}

/** As many, each of a request of its own: `req_0`, `req_1`, … */
export function ledgerEntries(
  count: number,
  make: (index: number) => Partial<LedgerEntry> = () => ({}),
): LedgerEntry[] {
  return Array.from({ length: count }, (_, index) => ledgerEntry({ requestId: `req_${index}`, ...make(index) }));
}

export const money = (usdNanos: number) => ({ usd: usdNanos / 1e9, usdNanos });
