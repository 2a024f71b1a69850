/** Entries and queries of which many fall together, for properties. */
import fc from 'fast-check';
import { dayMs, ledgerEntry, startMs } from './ledger-entries.ts';

const names = fc.constantFrom('a', 'b', 'c');

/** Up to 40 of 13 requests, on five days. */
export const drawnEntries = fc
  .array(
    fc.record({
      request: fc.nat(12),
      attempt: fc.integer({ min: 1, max: 3 }),
      day: fc.nat(4),
      provider: names,
      model: names,
      tenant: names,
      tags: fc.option(fc.dictionary(names, names, { maxKeys: 2 }), { nil: {} }),
      outcome: fc.constantFrom('answered' as const, 'failed' as const),
      inputTokens: fc.option(fc.nat(1000), { nil: undefined }),
      costNanos: fc.option(fc.oneof(fc.nat(1_000_000), fc.constant(Number.MAX_SAFE_INTEGER)), { nil: undefined }),
    }),
    { maxLength: 40 },
  )
  .map((drawn) =>
    drawn.map(({ request, day, inputTokens, ...rest }, index) =>
      ledgerEntry({
        ...rest,
        requestId: `req_${request}`,
        at: startMs + day * dayMs + index,
        usage: inputTokens === undefined ? {} : { inputTokens, outputTokens: index },
      }),
    ),
  );

/** For labels of these entries. */
export const drawnQueries = fc.record(
  { provider: names, model: names, tenant: names, tag: fc.constantFrom('a', 'b', 'a=b', 'c=c') },
  { requiredKeys: [] },
);
