/** One request's story as observers are told it: complete, in order, and ended exactly once. */
import type { Events } from '../../src/contract/events.ts';
import type { Chronicle } from './chronicle.ts';

const RULE = 'promise 12: a request has one story and one end';

interface Story {
  started: number;
  failed: number;
}

export class StoryWatch {
  readonly #chronicle: Chronicle;
  readonly #open = new Map<string, Story>();
  /** Nano-dollars of every attempt of every settled request. */
  spentNanos = 0n;
  pricedAttempts = 0;

  constructor(chronicle: Chronicle) {
    this.#chronicle = chronicle;
  }

  get openCount(): number {
    return this.#open.size;
  }

  admitted({ requestId }: Events['request.admitted']): void {
    this.#expect(!this.#open.has(requestId), () => `${requestId} was admitted twice`);
    this.#open.set(requestId, { started: 0, failed: 0 });
  }

  attemptStarted({ requestId, attempt }: Events['attempt.started']): void {
    const story = this.#open.get(requestId);
    this.#expect(story !== undefined, () => `an attempt for ${requestId}, which is not open`);
    if (story === undefined) return;
    this.#expect(
      attempt === story.started + 1 && story.failed === story.started,
      () => `attempt ${attempt} of ${requestId} began after ${story.started} of which ${story.failed} had failed`,
    );
    story.started = attempt;
  }

  attemptFailed({ requestId, attempt }: Events['attempt.failed']): void {
    const story = this.#open.get(requestId);
    this.#expect(
      story !== undefined && story.started === attempt && story.failed === attempt - 1,
      () => `attempt ${attempt} of ${requestId} failed out of turn`,
    );
    if (story !== undefined) story.failed = attempt;
  }

  settled({ requestId, outcome, attempts }: Events['request.settled']): void {
    const story = this.#open.get(requestId);
    this.#expect(story !== undefined, () => `${requestId} was settled although it is not open`);
    if (story === undefined) return;
    this.#open.delete(requestId);
    this.#expect(
      attempts.length === story.started,
      () => `${requestId} was settled with ${attempts.length} attempts, and ${story.started} had begun`,
    );
    const answered = attempts.filter((attempt) => attempt.outcome === 'answered').length;
    this.#expect(
      outcome === 'succeeded' ? answered === 1 && attempts.at(-1)?.outcome === 'answered' : answered === 0,
      () => `${requestId} ${outcome} with ${answered} answers`,
    );
    for (const { cost } of attempts) {
      if (cost === undefined) continue;
      this.spentNanos += BigInt(cost.usdNanos);
      this.pricedAttempts += 1;
    }
  }

  #expect(holds: boolean, message: () => string): void {
    this.#chronicle.expect(holds, RULE, message);
  }
}
