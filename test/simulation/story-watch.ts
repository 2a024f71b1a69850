/** One request's story as observers are told it: complete, in order, and ended exactly once. */
import type { Clock } from '../../src/contract/clock.ts';
import type { Events } from '../../src/contract/events.ts';
import type { Chronicle } from './chronicle.ts';
import type { Spent } from './ledger-watch.ts';

const RULE = 'promise 12: a request has one story and one end';

interface Story {
  started: number;
  failed: number;
  /** Attempts of processes that ended, one of which may have been answered in its last moment. */
  readonly resumedWith: number;
  /** Monotonic ms of the last thing that was told of it. */
  atMs: number;
}

export class StoryWatch {
  readonly #chronicle: Chronicle;
  readonly #open = new Map<string, Story>();
  /** All that were ever open. */
  readonly #known = new Set<string>();
  readonly #clock: Clock;
  /** What attempts of settled requests cost. */
  readonly spent: Spent[] = [];
  readonly #ended: { readonly requestId: string; readonly atMs: number }[] = [];

  /** How many attempts are recorded for a request, of whose insertion nobody may have heard. */
  readonly #recorded: (requestId: string) => number | undefined;

  constructor(chronicle: Chronicle, clock: Clock, recorded: (requestId: string) => number | undefined) {
    this.#chronicle = chronicle;
    this.#clock = clock;
    this.#recorded = recorded;
  }

  /** Nano-dollars of every attempt of every settled request. */
  get spentNanos(): bigint {
    return this.spent.reduce((sum, { nanos }) => sum + nanos, 0n);
  }

  /** The process has ended; `isStored` says of which requests another one will know. Gives those that it told something of since. */
  processEnded(isStored: (requestId: string) => boolean, sinceMs: number): readonly string[] {
    const open = [...this.#open].map(([requestId, { atMs, started, failed }]) => {
      // What was under way may have come to its end in this very moment.
      return { requestId, atMs: started > failed ? this.#clock.nowMs() : atMs };
    });
    const told = [...open, ...this.#ended].filter(({ atMs }) => atMs >= sinceMs).map(({ requestId }) => requestId);
    for (const requestId of this.#open.keys()) if (!isStored(requestId)) this.#open.delete(requestId);
    return told;
  }

  /** A process has begun, and knows a request with what was tried. */
  resume(requestId: string, attempts: number): void {
    this.#known.add(requestId);
    this.#open.set(requestId, {
      started: attempts,
      failed: attempts,
      resumedWith: attempts,
      atMs: this.#clock.nowMs(),
    });
  }

  /** It has ended in the store, and nobody was told. */
  forget(requestId: string): void {
    this.#open.delete(requestId);
  }

  get openCount(): number {
    return this.#open.size;
  }

  admitted({ requestId }: Events['request.admitted']): void {
    this.#expect(!this.#open.has(requestId), () => `${requestId} was admitted twice`);
    this.#known.add(requestId);
    this.#open.set(requestId, { started: 0, failed: 0, resumedWith: 0, atMs: this.#clock.nowMs() });
  }

  attemptStarted({ requestId, attempt }: Events['attempt.started']): void {
    const story = this.#find(requestId);
    this.#expect(story !== undefined, () => `an attempt for ${requestId}, which is not open`);
    if (story === undefined) return;
    this.#expect(
      attempt === story.started + 1 && story.failed === story.started,
      () => `attempt ${attempt} of ${requestId} began after ${story.started} of which ${story.failed} had failed`,
    );
    story.started = attempt;
    story.atMs = this.#clock.nowMs();
  }

  attemptFailed({ requestId, attempt }: Events['attempt.failed']): void {
    const story = this.#open.get(requestId);
    this.#expect(
      story !== undefined && story.started === attempt && story.failed === attempt - 1,
      () => `attempt ${attempt} of ${requestId} failed out of turn`,
    );
    if (story === undefined) return;
    story.failed = attempt;
    story.atMs = this.#clock.nowMs();
  }

  settled({ requestId, outcome, attempts }: Events['request.settled']): void {
    const story = this.#find(requestId);
    this.#expect(story !== undefined, () => `${requestId} was settled although it is not open`);
    if (story === undefined) return;
    this.#open.delete(requestId);
    this.#expect(
      attempts.length === story.started,
      () => `${requestId} was settled with ${attempts.length} attempts, and ${story.started} had begun`,
    );
    const answered = attempts.slice(story.resumedWith).filter((attempt) => attempt.outcome === 'answered').length;
    this.#expect(
      outcome === 'succeeded' ? answered === 1 && attempts.at(-1)?.outcome === 'answered' : answered === 0,
      () => `${requestId} ${outcome} with ${answered} answers`,
    );
    this.#ended.push({ requestId, atMs: this.#clock.nowMs() });
    for (const [index, { cost }] of attempts.entries())
      if (cost !== undefined) this.spent.push({ requestId, attempt: index + 1, nanos: BigInt(cost.usdNanos) });
  }

  /** What was stored unheard is run like anything that waits in the store, and was admitted by nobody. */
  #find(requestId: string): Story | undefined {
    const attempts = this.#recorded(requestId);
    if (!this.#known.has(requestId) && attempts !== undefined) this.resume(requestId, attempts);
    return this.#open.get(requestId);
  }

  #expect(holds: boolean, message: () => string): void {
    this.#chronicle.expect(holds, RULE, message);
  }
}
