/**
 * What the ledger in a file costs: entries it takes in a second, how long a summary over many of them takes, and above all
 * how long anybody else has to wait meanwhile, because one thread does all of it.
 *
 *   npm run bench:ledger -- 1000000          entries; default a million
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { LedgerEntry, LedgerQuery } from '../src/contract/records.ts';
import { systemClock } from '../src/runtime/system-clock.ts';
import { Gateway, type Host } from '../src/stores/sqlite/gateway.ts';
import { SqliteLedger } from '../src/stores/sqlite/sqlite-ledger.ts';
import { createWorkerHost } from '../src/stores/sqlite/worker-host.ts';

const ENTRIES = Number(process.argv[2] ?? 1_000_000);
const GROUP = 32;
/** How many are told in groups as the cost tracker does; the rest comes in larger ones. */
const GROUPED = Math.min(ENTRIES, 64_000);
const TENANTS = 200;
const dayMs = 86_400_000;
const startMs = Date.UTC(2026, 9, 22);
const endMs = startMs + 30 * dayMs;

const folder = mkdtempSync(join(tmpdir(), 'switchgear-bench-'));
const path = join(folder, 'ledger.db');
const longest = new Map<string, number>();
const host = timed(await createWorkerHost({ path, resultTtlMs: dayMs, hasWebhooks: false }));
const gateway = new Gateway(host, systemClock);
const ledger = new SqliteLedger(gateway, { retainDays: 60, clock: systemClock });

console.log(
  `Node ${process.version}, ${ENTRIES} entries of 30 days, ${TENANTS} tenants, one request in ten tried twice\n`,
);
await measureAppends();
await measureSummary('everything', {});
await measureSummary('the last hour', { since: endMs - dayMs / 24 });
await measureSummary('one day', { since: startMs + 10 * dayMs, until: startMs + 11 * dayMs });
await measureSummary('a tenant of 200', { tenant: 'tenant-7' });
await measureSummary('a tenant on the last day', { tenant: 'tenant-7', since: endMs - dayMs });
await measureSummary('a provider with a tenth', { provider: 'anthropic' });
await measureSummary('a provider with the rest', { provider: 'openai' });
await measureSummary('a tag', { tag: 'team=3' });
await measureFolding();
await gateway.close();
rmSync(folder, { recursive: true });

async function measureAppends(): Promise<void> {
  const groupedMs = await append(0, GROUPED, GROUP);
  const restMs = await append(GROUPED, ENTRIES, 250);
  const bytes = statSync(path).size + statSync(`${path}-wal`).size;
  console.log(
    `append, ${GROUP} at once: ${perSecond(GROUPED, groupedMs)}; 250 at once: ${perSecond(ENTRIES - GROUPED, restMs)}`,
  );
  console.log(`size: ${Math.round(bytes / ENTRIES)} bytes an entry\n`);
}

async function append(from: number, until: number, size: number): Promise<number> {
  const startedAt = performance.now();
  for (let first = from; first < until; first += size) {
    const count = Math.min(size, until - first);
    await ledger.append(Array.from({ length: count }, (_, index) => entryOf(first + index)));
  }
  return performance.now() - startedAt;
}

/** One in eleven is the second attempt of the request before it, at another provider. */
function entryOf(index: number): LedgerEntry {
  const isRetry = index % 11 === 10;
  const request = index - Math.floor(index / 11) - (isRetry ? 1 : 0);
  return {
    at: startMs + Math.floor((index / ENTRIES) * 30 * dayMs),
    // In no order, as real ids are.
    requestId: `req_${((request * 2_654_435_761) % 4_294_967_296).toString(36).padStart(7, '0')}xbenchxbenchxb`,
    attempt: isRetry ? 2 : 1,
    provider: isRetry ? 'anthropic' : 'openai',
    model: isRetry ? 'claude-sonnet-5' : `gpt-${index % 3}`,
    tenant: `tenant-${request % TENANTS}`,
    tags: { team: String(request % 10), env: 'production' },
    outcome: 'answered',
    usage: { inputTokens: 900 + (index % 300), outputTokens: 200 + (index % 99), cachedInputTokens: 128 },
    costNanos: 1_234_567 + index,
    isEstimate: false,
  };
}

async function measureSummary(name: string, query: LedgerQuery): Promise<void> {
  const { ms, ...waits } = await watched(() => ledger.summary(query, endMs));
  console.log(`summary of ${name.padEnd(26)}${ms.toFixed(0).padStart(6)} ms; ${told(waits)}`);
}

async function measureFolding(): Promise<void> {
  const { ms, ...waits } = await watched(async () => {
    await ledger.summary({ since: endMs }, endMs + 90 * dayMs);
    await ledger.folded();
  });
  console.log(`\nfolding all of it${' '.repeat(20)}${ms.toFixed(0).padStart(6)} ms; ${told(waits)}`);
}

interface Waits {
  readonly operation: string;
  readonly probeMs: number;
  readonly loopMs: number;
}

/** Runs something while somebody else writes small things every few ms. */
async function watched(act: () => Promise<unknown>): Promise<Waits & { readonly ms: number }> {
  longest.clear();
  const loop = monitorEventLoopDelay({ resolution: 1 });
  loop.enable();
  let isOver = false;
  const probes = probe(() => isOver);
  const startedAt = performance.now();
  await act();
  const ms = performance.now() - startedAt;
  isOver = true;
  const probeMs = await probes;
  loop.disable();
  const [name, groupMs] = [...longest].toSorted(([, one], [, other]) => other - one)[0] ?? ['none', 0];
  return { ms, operation: `${name} ${groupMs.toFixed(1)} ms`, probeMs, loopMs: loop.max / 1e6 };
}

/** The longest that a small write took. */
async function probe(isOver: () => boolean): Promise<number> {
  let longestMs = 0;
  while (!isOver()) {
    const startedAt = performance.now();
    await gateway.ask('saveState', 'probe', String(startedAt));
    longestMs = Math.max(longestMs, performance.now() - startedAt);
    await new Promise((resolve) => {
      systemClock.setTimeout(() => resolve(undefined), 5);
    });
  }
  return longestMs;
}

/** Notes the longest time that a group took, by the first operation in it that is not the probe's. */
function timed(inner: Host): Host {
  return {
    ...inner,
    afterTurn: (callback) => {
      inner.afterTurn(callback);
    },
    close: () => inner.close(),
    run: async (group) => {
      const startedAt = performance.now();
      const result = await inner.run(group);
      const name = group.find((operation) => operation.name !== 'saveState')?.name ?? 'saveState';
      longest.set(name, Math.max(longest.get(name) ?? 0, performance.now() - startedAt));
      return result;
    },
  };
}

function told({ operation, probeMs, loopMs }: Waits): string {
  return `longest group ${operation}, longest wait of another write ${probeMs.toFixed(1)} ms, of the event loop ${loopMs.toFixed(1)} ms`;
}

function perSecond(count: number, ms: number): string {
  return `${Math.round((count / ms) * 1_000).toLocaleString('en')}/s`;
}
