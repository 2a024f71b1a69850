/**
 * Entries come in. A request gets the newest block that has room and keeps it, so that all its attempts lie together; what
 * blocks and names count is written once for a group of entries.
 */
import type { EngineContext } from './engine.ts';
import type { StoredEntry } from './stored-entry.ts';

/** A block that has reached either gets no further request. What is folded in one transaction follows from it. */
const BLOCK_REQUESTS_MAX = 200;
const BLOCK_ENTRIES_MAX = 400;

/** The columns of `ledger_entries` joined with its request and names, as the fields of `StoredEntry`. */
export const ENTRY_COLUMNS = `id AS requestId, attempt, at, ledger_names.names AS names, tags, outcome,
  is_billable AS isBillable, is_estimate AS isEstimate, cost_nanos AS costNanos, input_tokens AS inputTokens,
  output_tokens AS outputTokens, cached_input_tokens AS cachedInputTokens, cache_write_tokens AS cacheWriteTokens,
  cache_write_1h_tokens AS cacheWrite1hTokens, reasoning_tokens AS reasoningTokens`;

/** Operations that write and read single entries. */
export function createLedgerAppendOperations(context: EngineContext) {
  return {
    /** Adds entries; one that is known changes nothing. Gives what `nextFoldAt` gives. */
    appendEntries(entries: readonly StoredEntry[]): number | undefined {
      const writer = new EntryWriter(context);
      for (const entry of entries) writer.write(entry);
      writer.finish();
      return readFoldAt(context);
    },

    /** There is nothing to fold before this moment is old; undefined when there is nothing at all. */
    nextFoldAt: () => readFoldAt(context),

    /** By attempt; none when the request is unknown or folded. */
    entriesFor(requestId: string): readonly StoredEntry[] {
      const rows = context
        .prepare(
          `SELECT ${ENTRY_COLUMNS} FROM ledger_requests JOIN ledger_entries USING (block, request)
             JOIN ledger_names ON number = ledger_entries.names
           WHERE id = ? ORDER BY attempt`,
        )
        .all(requestId);
      // The columns are named after the fields.
      return rows as unknown as readonly StoredEntry[];
    },
  };
}

function readFoldAt({ prepare }: EngineContext): number | undefined {
  const foldAt = prepare(`SELECT min(fold_at) AS fold_at FROM ledger_blocks`).get()?.['fold_at'];
  return typeof foldAt === 'number' ? foldAt : undefined;
}

interface Place {
  readonly request: number;
  readonly block: number;
}

/** What a group of entries adds to one block. */
interface BlockChange {
  requests: number;
  entries: number;
  firstAt: number;
  lastAt: number;
}

class EntryWriter {
  readonly #context: EngineContext;
  readonly #blocks = new Map<number, BlockChange>();
  /** Number and new entries, by names. */
  readonly #names = new Map<string, { readonly number: number; entries: number }>();
  /** The block that new requests go to, and what it holds. */
  #block: number;
  #requests: number;
  #entries: number;
  #entryCount: number;

  constructor(context: EngineContext) {
    this.#context = context;
    const last = context
      .prepare(`SELECT block, requests, entries FROM ledger_blocks ORDER BY block DESC LIMIT 1`)
      .get();
    this.#block = Number(last?.['block'] ?? 0);
    this.#requests = Number(last?.['requests'] ?? 0);
    this.#entries = Number(last?.['entries'] ?? 0);
    this.#entryCount = Number(context.prepare(`SELECT entries FROM ledger_counters`).get()?.['entries']);
  }

  write(entry: StoredEntry): void {
    const place = this.#placeFor(entry);
    if (place === undefined) return;
    const names = this.#numberOf(entry.names);
    names.entries += 1;
    this.#entryCount += 1;
    this.#insert(entry, place, names.number);
    if (place.block === this.#block) this.#entries += 1;
    const change = this.#changeOf(place.block);
    change.entries += 1;
    change.firstAt = Math.min(change.firstAt, entry.at);
    change.lastAt = Math.max(change.lastAt, entry.at);
  }

  finish(): void {
    const { run } = this.#context;
    for (const [block, { requests, entries, firstAt, lastAt }] of this.#blocks) {
      // The first moment is no later than the last one of any request: at worst somebody looks and finds nothing to fold.
      run(
        `INSERT INTO ledger_blocks (block, requests, entries, first_at, last_at, fold_at) VALUES (?1, ?2, ?3, ?4, ?5, ?4)
         ON CONFLICT (block) DO UPDATE SET requests = requests + ?2, entries = entries + ?3,
           first_at = min(first_at, ?4), last_at = max(last_at, ?5), fold_at = min(fold_at, ?4)`,
        block,
        requests,
        entries,
        firstAt,
        lastAt,
      );
    }
    for (const { number, entries } of this.#names.values())
      run(`UPDATE ledger_names SET entries = entries + ? WHERE number = ?`, entries, number);
    run(`UPDATE ledger_counters SET entries = ?`, this.#entryCount);
  }

  /** Undefined when the entry is known. */
  #placeFor({ requestId, attempt }: StoredEntry): Place | undefined {
    const { prepare, run } = this.#context;
    const known = prepare(`SELECT request, block, folded_attempts FROM ledger_requests WHERE id = ?`).get(requestId);
    if (known === undefined) {
      const block = this.#blockWithRoom();
      const inserted = prepare(`INSERT INTO ledger_requests (id, block) VALUES (?, ?)`).run(requestId, block);
      return { request: Number(inserted.lastInsertRowid), block };
    }
    const request = Number(known['request']);
    if (readAttempts(known['folded_attempts']).includes(attempt)) return undefined;
    if (known['block'] !== null) {
      const block = Number(known['block']);
      const entry = prepare(`SELECT 1 FROM ledger_entries WHERE block = ? AND request = ? AND attempt = ?`);
      return entry.get(block, request, attempt) === undefined ? { request, block } : undefined;
    }
    // Its other attempts were folded: this one waits for its own turn.
    const block = this.#blockWithRoom();
    run(`UPDATE ledger_requests SET block = ?, folded_order = NULL WHERE request = ?`, block, request);
    return { request, block };
  }

  #blockWithRoom(): number {
    if (this.#block === 0 || this.#requests >= BLOCK_REQUESTS_MAX || this.#entries >= BLOCK_ENTRIES_MAX) {
      this.#block += 1;
      this.#requests = 0;
      this.#entries = 0;
    }
    this.#requests += 1;
    this.#changeOf(this.#block).requests += 1;
    return this.#block;
  }

  #changeOf(block: number): BlockChange {
    let change = this.#blocks.get(block);
    if (change === undefined) {
      change = { requests: 0, entries: 0, firstAt: Number.POSITIVE_INFINITY, lastAt: Number.NEGATIVE_INFINITY };
      this.#blocks.set(block, change);
    }
    return change;
  }

  #numberOf(text: string): { readonly number: number; entries: number } {
    let names = this.#names.get(text);
    if (names === undefined) {
      const { prepare } = this.#context;
      const row =
        prepare(`SELECT number FROM ledger_names WHERE names = ?`).get(text) ??
        prepare(`INSERT INTO ledger_names (names, entries) VALUES (?, 0) RETURNING number`).get(text);
      names = { number: Number(row?.['number']), entries: 0 };
      this.#names.set(text, names);
    }
    return names;
  }

  #insert(entry: StoredEntry, { block, request }: Place, names: number): void {
    this.#context.run(
      `INSERT INTO ledger_entries (block, request, attempt, entry, at, names, tags, outcome, is_billable, is_estimate,
         cost_nanos, input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, cache_write_1h_tokens,
         reasoning_tokens)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      block,
      request,
      entry.attempt,
      this.#entryCount,
      entry.at,
      names,
      entry.tags,
      entry.outcome,
      entry.isBillable,
      entry.isEstimate,
      entry.costNanos,
      entry.inputTokens,
      entry.outputTokens,
      entry.cachedInputTokens,
      entry.cacheWriteTokens,
      entry.cacheWrite1hTokens,
      entry.reasoningTokens,
    );
  }
}

/** The attempts of a request that were folded. */
export function readAttempts(attempts: unknown): readonly number[] {
  // Written by `foldEntries`.
  return typeof attempts === 'string' ? (JSON.parse(attempts) as number[]) : [];
}
