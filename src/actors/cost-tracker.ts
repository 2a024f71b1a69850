/**
 * The cost tracker: takes one ledger entry per attempt and writes them in groups. Entries that are not written yet are its
 * memory; the ledger ignores one it knows, so that a crash between writing and forgetting charges nobody twice.
 */
import { assign, fromPromise, setup } from 'xstate';
import type { Clock } from '../contract/clock.ts';
import { SwitchgearError } from '../contract/errors.ts';
import type { CostSummary } from '../contract/state.ts';
import type { Ledger, LedgerEntry, LedgerQuery } from '../contract/records.ts';
import { Actor, type BeforeEvent, type Reply } from '../supervision/actor.ts';
import type { Announce } from './announce.ts';
import { Mailbag } from './mailbag.ts';
import type { Registry } from '../supervision/registry.ts';

export const COST_TRACKER_ID = 'cost-tracker';
const GROUP_MAX = 1_000;
/** Entries that may wait for a ledger that fails. */
const PENDING_MAX = 100_000;
const RETRY_MS = 1_000;
/** How long a summary waits for what was recorded before it. */
const FLUSH_TIMEOUT_MS = 10_000;

interface CostMemory {
  /** Recorded and not yet known to be written, oldest first. */
  readonly pending: LedgerEntry[];
  /** How many of `pending` the write under way holds. */
  readonly writing: number;
  /** How many entries were ever written. */
  readonly written: number;
  readonly waiting: readonly Waiting[];
}

/** Answered when so many entries were written. */
interface Waiting {
  readonly untilWritten: number;
  readonly reply: Reply<undefined>;
}

type CostEvent =
  | { readonly type: 'entry.recorded'; readonly entry: LedgerEntry }
  /** Answered when everything recorded before it is written. */
  | { readonly type: 'flush.asked'; readonly reply: Reply<undefined> };

export type CostMachine = ReturnType<typeof createCostMachine>;

export interface CostMachineDeps {
  readonly ledger: Ledger;
  /** What the last incarnation had not written. */
  readonly memory: CostMemory;
  readonly announce: Announce;
}

/** Builds the machine over `ledger`. */
export function createCostMachine({ ledger, memory, announce }: CostMachineDeps) {
  return setup({
    types: {} as { context: CostMemory; events: CostEvent },
    actors: {
      write: fromPromise<undefined, readonly LedgerEntry[]>(async ({ input }) => {
        await ledger.append(input);
        return undefined;
      }),
    },
    guards: { hasPending: ({ context }) => context.pending.length > 0 },
    actions: {
      // The one list that is changed in place: at a hundred thousand entries a copy for each would block the process. An
      // entry that a crash makes come twice is one entry to the ledger.
      note: ({ context, event }) => {
        if (event.type !== 'entry.recorded') return;
        if (context.pending.length < PENDING_MAX) {
          context.pending.push(event.entry);
          return;
        }
        const message = `${PENDING_MAX} ledger entries could not be written yet; this one is lost`;
        announce('store.failed', { requestId: event.entry.requestId, operation: 'book', message });
      },
      await: assign(({ context, event }) => {
        if (event.type !== 'flush.asked') return context;
        const untilWritten = context.written + context.pending.length;
        return { ...context, waiting: [...context.waiting, { untilWritten, reply: event.reply }] };
      }),
      forget: assign(({ context }) => ({
        ...context,
        pending: context.pending.slice(context.writing),
        written: context.written + context.writing,
        writing: 0,
      })),
      answer: assign(({ context }) => {
        const isDue = ({ untilWritten }: Waiting) => untilWritten <= context.written;
        for (const { reply } of context.waiting.filter(isDue)) reply(undefined);
        return { ...context, waiting: context.waiting.filter((waiting) => !isDue(waiting)) };
      }),
      begin: assign(({ context }) => ({ ...context, writing: Math.min(GROUP_MAX, context.pending.length) })),
    },
  }).createMachine({
    id: COST_TRACKER_ID,
    context: memory,
    initial: 'idle',
    on: { 'entry.recorded': { actions: 'note' }, 'flush.asked': { actions: 'await' } },
    states: {
      idle: {
        entry: 'answer',
        always: { guard: 'hasPending', target: 'writing' },
        on: { 'flush.asked': { actions: ['await', 'answer'] } },
      },
      writing: {
        entry: 'begin',
        invoke: {
          src: 'write',
          input: ({ context }) => context.pending.slice(0, context.writing),
          onDone: { target: 'idle', actions: 'forget' },
          onError: { target: 'failing' },
        },
      },
      failing: { after: { [RETRY_MS]: { target: 'writing' } } },
    },
  });
}

export interface CostControlDeps {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly registry: Registry;
  readonly announce: Announce;
  readonly beforeEvent: BeforeEvent | undefined;
}

/** The synchronous face of the cost tracker. */
export class CostControl {
  readonly #deps: CostControlDeps;
  readonly #mailbag: Mailbag<CostMachine>;
  #memory: CostMemory = { pending: [], writing: 0, written: 0, waiting: [] };

  constructor(deps: CostControlDeps) {
    this.#deps = deps;
    this.#mailbag = new Mailbag(COST_TRACKER_ID, deps.registry, deps.announce);
  }

  startActor(incarnation: number): Actor<CostMachine> {
    const { ledger, clock, announce, beforeEvent } = this.#deps;
    return new Actor({
      id: COST_TRACKER_ID,
      incarnation,
      machine: createCostMachine({ ledger, memory: { ...this.#memory, writing: 0 }, announce }),
      clock,
      beforeEvent,
      onUndelivered: this.#mailbag.keep,
      onSnapshot: (snapshot) => {
        this.#memory = snapshot.context;
      },
    });
  }

  actorStarted(): void {
    this.#mailbag.deliver();
  }

  /** Books what one attempt used. Never lost: it waits for the actor if it has to. */
  record(entry: LedgerEntry): void {
    this.#mailbag.tell({ type: 'entry.recorded', entry });
  }

  /**
   * Sums up what was booked, everything recorded before this call included.
   * @throws {SwitchgearError} `store-unavailable` when that could not be written in time
   */
  async summary(query: LedgerQuery): Promise<CostSummary> {
    await this.flush();
    return this.#deps.ledger.summary(query, this.#deps.clock.wallMs());
  }

  /**
   * Waits until everything recorded before this call is written.
   * @throws {SwitchgearError} `store-unavailable` when it could not be written in time
   */
  async flush(): Promise<void> {
    const flushed = Promise.withResolvers<undefined>();
    const timer = this.#deps.clock.setTimeout(() => {
      const message = `costs recorded lately could not be written within ${FLUSH_TIMEOUT_MS} ms; they are kept, ask again later`;
      flushed.reject(new SwitchgearError('store-unavailable', message));
    }, FLUSH_TIMEOUT_MS);
    this.#mailbag.tell({ type: 'flush.asked', reply: flushed.resolve });
    try {
      await flushed.promise;
    } finally {
      this.#deps.clock.clearTimeout(timer);
    }
  }
}
