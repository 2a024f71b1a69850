/**
 * What the store's file holds, told from what its engine was asked and said, across all processes that ever had it open; and
 * the promises about it: an end is written once and stays, nobody writes with an old claim, a key stands for one request, what
 * was running in a crash is counted, and the file says the same to whoever opens it next.
 */
import type { Claim, Recovered } from '../../src/contract/records.ts';
import type { GroupResult, Operation } from '../../src/stores/sqlite/engine.ts';
import type { OperationName, Operations } from '../../src/stores/sqlite/operations.ts';
import type { StoredRecord } from '../../src/stores/sqlite/stored-record.ts';
import type { Chronicle } from './chronicle.ts';
import { LedgerWatch } from './ledger-watch.ts';
import { clearRecord, createRecord, isSame, keyOf, type WatchedRecord } from './watched-record.ts';

const ACKNOWLEDGED = 'promise 11: what was acknowledged is stored';
const ONE_END = 'promise 12: an end is written once and does not change';
const FENCE = 'promise 13: nobody writes with an old claim';
const RECOVERY = 'promise 14: what was running or queued is so again after a crash';
const ONE_KEY = 'promise 15: one idempotency key, one request';
const CRASHES_MAX = 3;

interface Told {
  /** Which process asked. */
  readonly life: number;
  readonly nowMs: number;
}

type Noters = {
  readonly [Name in OperationName]?: (
    told: Told,
    value: ReturnType<Operations[Name]>,
    args: Parameters<Operations[Name]>,
  ) => void;
};

export class StoreWatch {
  readonly ledger: LedgerWatch;
  /** What each provider saved last. */
  readonly states = new Map<string, string>();
  readonly #records = new Map<string, WatchedRecord>();
  /** By tenant and key. */
  readonly #keys = new Map<string, WatchedRecord>();
  readonly #chronicle: Chronicle;
  readonly #ttlMs: number;

  constructor(chronicle: Chronicle, ttlMs: number) {
    this.#chronicle = chronicle;
    this.#ttlMs = ttlMs;
    this.ledger = new LedgerWatch(chronicle);
  }

  find(requestId: string): WatchedRecord | undefined {
    return this.#records.get(requestId);
  }

  /** Those that have not ended. */
  open(): readonly WatchedRecord[] {
    return [...this.#records.values()].filter(({ status }) => status !== 'ended');
  }

  all(): readonly WatchedRecord[] {
    return [...this.#records.values()];
  }

  /** Its caller has heard its id. */
  acknowledged(requestId: string): void {
    const record = this.#records.get(requestId);
    this.#chronicle.expect(record !== undefined, ACKNOWLEDGED, () => `${requestId} is not`);
    if (record !== undefined) record.isAcknowledged = true;
  }

  /** What `getResult` has to say of a request that has ended. `nowMs` is on the steady wall clock. */
  isReadable(requestId: string, nowMs: number): 'found' | 'expired' | 'unknown' {
    const record = this.#records.get(requestId);
    if (record === undefined || record.cleared === 'all') return 'unknown';
    if (record.status !== 'ended') return 'found';
    if (record.cleared === 'nothing' && nowMs < record.endedAt + this.#ttlMs) return 'found';
    return nowMs < record.endedAt + 2 * this.#ttlMs ? 'expired' : 'unknown';
  }

  /** A group has had its effect in the file, on behalf of a process. */
  note(life: number, group: readonly Operation[], { results, parked }: GroupResult): void {
    for (const [index, { name, args, nowMs }] of group.entries()) {
      const result = results[index];
      if (result?.kind !== 'done') continue;
      // Every noter is given what the operation of its name was given and gave.
      const noter = this.#noters[name] as ((...values: readonly unknown[]) => void) | undefined;
      noter?.({ life, nowMs }, result.value, args);
    }
    const expected = this.open().filter(({ owner }) => owner === 0).length;
    this.#chronicle.expect(parked === expected, RECOVERY, () => `${parked} are said to be parked, and ${expected} are`);
  }

  /** A process has died. */
  died(life: number): void {
    for (const record of this.open())
      if (record.owner === life && record.status === 'running') this.#chronicle.count('died: while running');
    if (this.open().some(({ owner }) => owner === 0)) this.#chronicle.count('died: while parked');
  }

  /** Somebody is being asked for it. */
  sent(life: number, requestId: string, provider: string): void {
    const record = this.#records.get(requestId);
    if (record === undefined) return;
    const { status, owner, begun, isSent, crashes, recovery } = record;
    this.#chronicle.expect(
      status === 'running' && owner === life && begun === provider && !isSent,
      'an attempt is recorded before it is sent, once',
      () => `${provider} is asked by process ${life} for ${JSON.stringify(record)}`,
    );
    this.#chronicle.expect(
      recovery === 'atMostOnce' ? crashes === 0 : crashes < CRASHES_MAX,
      'promise 14: nothing is sent again that must not be',
      () => `${requestId} (${recovery}) was running in ${crashes} crashes`,
    );
    record.isSent = true;
  }

  readonly #noters: Noters = {
    insert: ({ life, nowMs }, result, [record, place]) => {
      const known = record.idempotencyKey === null ? undefined : this.#keys.get(keyOf(record));
      const living = known !== undefined && this.isReadable(known.requestId, nowMs) === 'found' ? known : undefined;
      const told = result.kind === 'inserted' || result.kind === 'full' ? undefined : result.requestId;
      this.#chronicle.expect(
        living?.requestId === told,
        ONE_KEY,
        () => `${record.idempotencyKey} stands for ${living?.requestId}, and the store says ${JSON.stringify(result)}`,
      );
      if (known !== undefined && living === undefined && known.cleared === 'nothing') known.cleared = 'result';
      if (result.kind === 'known' && known !== undefined && known.insertedBy !== life)
        this.#chronicle.count('key: known after a restart');
      if (result.kind === 'inserted') this.#insert(record, life, place);
    },
    load: ({ nowMs }, loaded, [requestId]) => {
      const readable = this.isReadable(requestId, nowMs);
      this.#chronicle.expect(
        loaded.kind === readable,
        'promise 16: a result is readable for its time, then expired, then unknown',
        () => `${requestId} is ${loaded.kind}, and should be ${readable}`,
      );
      if (loaded.kind === 'found') this.#compare(loaded.record, loaded.isParked);
      else this.#chronicle.count(`result: ${loaded.kind}`);
    },
    listParked: (_told, records) => {
      for (const record of records) this.#compare(record, true);
    },
    claim: ({ life }, claims, [requestIds]) => {
      for (const requestId of requestIds) this.#claim(life, requestId, claims);
    },
    park: ({ life }, isHeld, [claim]) => {
      this.#change(life, claim, isHeld, (record) => {
        record.status = 'queued';
        record.owner = 0;
        record.begun = undefined;
      });
    },
    markRunning: ({ life }, isHeld, [claim, provider]) => {
      this.#change(life, claim, isHeld, (record) => {
        record.status = 'running';
        record.begun = provider;
        record.isSent = false;
      });
    },
    markQueued: ({ life }, isHeld, [claim]) => {
      this.#change(life, claim, isHeld, (record) => {
        record.status = 'queued';
        record.begun = undefined;
      });
    },
    addAttempt: ({ life }, isHeld, [claim, { number }]) => {
      this.#change(life, claim, isHeld, (record) => {
        // One that is known may be told again.
        record.attempts = Math.max(record.attempts, number);
        record.begun = undefined;
      });
    },
    settle: ({ life, nowMs }, isHeld, [claim, , settlement]) => {
      this.#change(life, claim, isHeld, (record) => {
        this.#end(record, settlement, nowMs);
      });
    },
    settleParked: ({ nowMs }, isParked, [requestId, status, settlement]) => {
      const record = this.#records.get(requestId);
      this.#chronicle.expect(
        isParked === (record?.owner === 0 && record.status === 'queued'),
        FENCE,
        () => `${requestId} was ended in the store: ${isParked}, as ${JSON.stringify(record)}`,
      );
      if (!isParked || record === undefined) return;
      this.#chronicle.count(`parked: ${status}`);
      this.#end(record, settlement, nowMs);
    },
    sweep: ({ nowMs }) => {
      for (const record of this.#records.values()) clearRecord(record, nowMs, this.#ttlMs);
    },
    recover: ({ life, nowMs }, recovered) => {
      this.#recover(life, nowMs, recovered);
    },
    saveState: (_told, _nothing, [name, state]) => {
      this.states.set(name, state);
    },
    appendEntries: (_told, _foldAt, [entries]) => {
      this.ledger.append(entries);
    },
  };

  #insert(stored: StoredRecord, insertedBy: number, place: 'memory' | 'store'): void {
    const owner = place === 'memory' ? insertedBy : 0;
    const record = createRecord(stored, insertedBy, owner);
    this.#records.set(record.requestId, record);
    if (record.key !== null) this.#keys.set(keyOf(stored), record);
    if (owner === 0) this.#chronicle.count('parked: submitted');
  }

  #claim(life: number, requestId: string, claims: readonly Claim[]): void {
    const record = this.#records.get(requestId);
    const claim = claims.find((given) => given.requestId === requestId);
    const isOpen = record !== undefined && record.status !== 'ended';
    this.#chronicle.expect(
      isOpen === (claim !== undefined) && (claim === undefined || claim.fence === (record?.fence ?? 0) + 1),
      FENCE,
      () => `${requestId} was claimed with ${claim?.fence}, as ${JSON.stringify(record)}`,
    );
    if (record === undefined || claim === undefined) return;
    if (record.owner === 0) this.#chronicle.count('parked: fed');
    record.owner = life;
    record.fence = claim.fence;
  }

  /** Who names the claim that holds changes the record, and nobody else does. */
  #change(life: number, claim: Claim, isHeld: boolean, change: (record: WatchedRecord) => void): void {
    const record = this.#records.get(claim.requestId);
    const mayChange =
      record !== undefined && record.status !== 'ended' && record.owner === life && record.fence === claim.fence;
    this.#chronicle.expect(
      isHeld === mayChange,
      FENCE,
      () => `a write of process ${life} with ${claim.fence} is ${isHeld}: ${JSON.stringify(record)}`,
    );
    if (!isHeld) this.#chronicle.count('fence: refused');
    if (isHeld && record !== undefined) change(record);
  }

  #end(record: WatchedRecord, settlement: string, nowMs: number): void {
    this.#chronicle.expect(record.end === undefined, ONE_END, () => `${record.requestId} ends twice`);
    record.status = 'ended';
    record.owner = 0;
    record.begun = undefined;
    record.end = settlement;
    record.endedAt = nowMs;
  }

  #recover(life: number, nowMs: number, { queued, requeued, interrupted }: Recovered): void {
    const left = this.open().filter(({ owner }) => owner !== 0 && owner !== life);
    const expected = { requeued: new Set<string>(), interrupted: new Set<string>() };
    for (const record of left) {
      const { requestId } = record;
      const wasRunning = record.status === 'running';
      if (wasRunning) {
        record.crashes += 1;
        if (record.begun !== undefined) record.attempts += 1;
        record.begun = undefined;
      }
      const mayRun = !wasRunning || (record.recovery !== 'atMostOnce' && record.crashes < CRASHES_MAX);
      if (wasRunning) (mayRun ? expected.requeued : expected.interrupted).add(requestId);
      record.status = 'queued';
      record.owner = 0;
      record.fence += 1;
      // What the engine wrote itself is compared with whatever is read later.
      if (!mayRun) {
        record.status = 'ended';
        record.endedAt = nowMs;
        this.#chronicle.count(record.recovery === 'atMostOnce' ? 'recovered: atMostOnce' : 'recovered: third crash');
      } else if (wasRunning) this.#chronicle.count('recovered: interrupted attempt');
    }
    this.#chronicle.expect(
      isSame(requeued, expected.requeued) && isSame(interrupted, expected.interrupted) && queued === this.open().length,
      RECOVERY,
      () =>
        `recovered ${JSON.stringify({ queued, requeued, interrupted })}, and left were ${JSON.stringify(left)} of ${this.open().length}`,
    );
  }

  /** What was read is what was written, in whichever process. */
  #compare(stored: StoredRecord, isParked: boolean): void {
    const record = this.#records.get(stored.requestId);
    if (record === undefined) {
      this.#chronicle.expect(false, ACKNOWLEDGED, () => `${stored.requestId} was never inserted`);
      return;
    }
    const isEnded = stored.settlement !== null;
    if (isEnded) record.end ??= stored.settlement ?? undefined;
    this.#chronicle.expect(
      isEnded === (record.status === 'ended') && (!isEnded || stored.settlement === record.end),
      ONE_END,
      () => `${stored.requestId} is ${stored.status} (${stored.settlement}), and was ${record.status} (${record.end})`,
    );
    const isRight =
      isEnded ||
      (stored.status === record.status && isParked === (record.owner === 0) && stored.recoveries === record.crashes);
    this.#chronicle.expect(
      isRight && (isEnded || stored.attempts.length === record.attempts),
      RECOVERY,
      () => `the store says ${JSON.stringify(stored)}, parked: ${isParked}, and holds ${JSON.stringify(record)}`,
    );
  }
}
