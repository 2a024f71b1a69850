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

/** Nine thousand attempts of some seven thousand requests, a minute apart: many blocks, many names, several slices. */
export const manyEntries: readonly LedgerEntry[] = ledgerEntries(9_000, (index) => {
  const isRetry = index % 4 === 3;
  // Of a request that was told up to some two hundred entries before.
  const request = isRetry ? Math.max(2, index - 1 - 4 * (index % 59)) : index;
  return {
    requestId: `req_${request}`,
    attempt: isRetry ? index : 1,
    at: startMs + index * 60_000,
    provider: isRetry ? 'anthropic' : 'openai',
    model: `model-${index % 7}`,
    tenant: `tenant-${index % 50}`,
    tags: index % 3 === 0 ? { team: `${index % 4}` } : {},
    outcome: index % 10 === 3 ? 'failed' : 'answered',
    usage: index % 20 === 3 ? {} : { inputTokens: index },
    costNanos: index % 20 === 3 ? undefined : index % 9 === 0 ? Number.MAX_SAFE_INTEGER : index,
  };
});

/** An amount as summaries tell it. */
export const money = (usdNanos: number) => ({ usd: usdNanos / 1e9, usdNanos });
