/**
 * What callers do to a service for some seconds, whatever happens to it: they submit more than fits into memory, cancel, come
 * back with the same keys, read, and stop it once in between. Whether they got what they were promised is in `judge-story.ts`.
 */
import type { RequestOptions } from '../../src/contract/request.ts';
import type { RequestResult, Service } from '../../src/contract/service.ts';
import type { FragileWorld } from './fragile-world.ts';
import { echo, fail, when } from './scripted-provider.ts';
import { ask } from './test-runtime.ts';

const ANSWER_MS = 100;
const QUIET_MAX_MS = 120_000;

/** One request that somebody submitted, and what became of that. */
export interface Submission {
  readonly prompt: string;
  readonly options: RequestOptions;
  /** Set once it was acknowledged. */
  requestId?: string;
  refusal?: unknown;
  /** What `cancel` came to; undefined when nobody tried, or nobody heard. */
  cancelled?: boolean;
  isCancelAsked?: boolean;
  /** The first end that anybody read. */
  seen?: RequestResult;
}

export class DurableStory {
  readonly #world: FragileWorld;
  readonly submissions: Submission[] = [];
  /** Answers to sync calls. */
  readonly answers: { readonly prompt: string; readonly text: string }[] = [];
  /** What sync callers, readers and those who cancelled were told in place of an answer. */
  readonly errors: unknown[] = [];
  /** What those were told who waited for as long as it takes. */
  readonly awaited: { readonly prompt: string; readonly status: string }[] = [];
  /** Two ends that were read of one request. */
  readonly changes: (readonly [RequestResult, RequestResult])[] = [];

  constructor(world: FragileWorld) {
    this.#world = world;
    // The first call of a flaky one fails, whoever makes it.
    world.provider.always = when(() => {
      const prompt = world.provider.attempts.at(-1)?.prompt ?? '';
      const isFirst = world.provider.attempts.filter((call) => call.prompt === prompt).length === 1;
      return prompt.startsWith('flaky') && isFirst ? fail('upstream-error', { afterMs: 20 }) : echo(ANSWER_MS);
    });
  }

  async live(): Promise<void> {
    await this.#firstHalf();
    await this.#world.down(250);
    await this.#secondHalf();
    await this.#untilQuiet();
    await this.#world.down(0);
  }

  async #firstHalf(): Promise<void> {
    await this.#at(0, (service) => {
      for (let index = 0; index < 10; index += 1)
        this.#submit(service, index % 4 === 1 ? `flaky ${index}` : `first ${index}`, {
          tenant: index % 3 === 0 ? 'one' : 'two',
          priority: index % 5 === 0 ? 'low' : 'normal',
        });
    });
    await this.#at(20, (service) => {
      this.#cancel(service, 'first 8');
    });
    await this.#at(40, (service) => {
      for (const index of [0, 1]) this.#submit(service, `urgent ${index}`, { priority: 'high' });
      this.#read(service);
    });
    await this.#at(60, (service) => {
      for (const _ of [1, 2]) this.#ask(service, 'sync 0', { idempotencyKey: 'sync 0', priority: 'high' });
      this.#cancel(service, 'first 2');
    });
    await this.#at(80, (service) => {
      for (let index = 0; index < 6; index += 1)
        this.#submit(service, `keyed ${index}`, { idempotencyKey: `k ${index}` });
    });
    await this.#at(60, (service) => {
      for (const index of [0, 3]) this.#submit(service, `keyed ${index}`, { idempotencyKey: `k ${index}` });
      this.#cancel(service, 'keyed 4');
      this.#read(service, 5_000);
    });
  }

  async #secondHalf(): Promise<void> {
    await this.#at(10, (service) => {
      for (let index = 0; index < 9; index += 1)
        this.#submit(service, index === 3 ? `flaky late ${index}` : `late ${index}`, {
          priority: index % 2 === 0 ? 'low' : 'high',
          timeoutMs: 600_000,
        });
      this.#cancel(service, 'urgent 1');
    });
    await this.#at(150, (service) => {
      for (const prompt of ['late 0', 'late 6', 'late 8']) this.#await(service, prompt);
    });
    await this.#at(10, (service) => {
      this.#cancel(service, 'late 6');
      this.#submit(service, 'keyed 5', { idempotencyKey: 'k 5' });
    });
    await this.#at(550, (service) => {
      this.#ask(service, 'sync 1', { idempotencyKey: 'sync 1', priority: 'high' });
      this.#read(service);
    });
  }

  /** Lets time pass, then does something to whatever process there is. */
  async #at(afterMs: number, act: (service: Service) => void): Promise<void> {
    await this.#world.clock.advance(afterMs);
    act(await this.#world.up());
    await this.#world.clock.settle();
  }

  /** Until nobody waits any more and every end has been read. */
  async #untilQuiet(): Promise<void> {
    const { clock } = this.#world;
    for (const untilMs = clock.nowMs() + QUIET_MAX_MS; clock.nowMs() < untilMs;) {
      await this.#at(1_000, (service) => {
        const { open, parked } = service.queueStatus();
        if (open === 0 && parked === 0) this.#read(service);
      });
      if (this.acknowledged.every(({ seen }) => seen !== undefined)) return;
    }
    throw new Error(`expected all to end within ${QUIET_MAX_MS} ms, got: ${JSON.stringify(this.acknowledged)}`);
  }

  get acknowledged(): readonly Submission[] {
    return this.submissions.filter(({ requestId }) => requestId !== undefined);
  }

  #submit(service: Service, prompt: string, options: RequestOptions): void {
    const submission: Submission = { prompt, options };
    this.submissions.push(submission);
    service.completionAsync(ask(prompt), options).then(
      (requestId) => (submission.requestId = requestId),
      (error: unknown) => (submission.refusal = error),
    );
  }

  #ask(service: Service, prompt: string, options: RequestOptions): void {
    service.completion(ask(prompt), options).then(
      ({ text }) => this.answers.push({ prompt, text }),
      (error: unknown) => this.errors.push(error),
    );
  }

  #cancel(service: Service, prompt: string): void {
    const submission = this.submissions.find((each) => each.prompt === prompt && each.requestId !== undefined);
    if (submission?.requestId === undefined) return;
    submission.isCancelAsked = true;
    service.cancel(submission.requestId).then(
      (isCancelled) => (submission.cancelled = isCancelled),
      (error: unknown) => this.errors.push(error),
    );
  }

  /** Reads all that were acknowledged. Who has read an end once reads the same one ever after. */
  #read(service: Service, waitMs = 0): void {
    for (const submission of this.acknowledged)
      service.getResult(submission.requestId ?? '', { waitMs }).then(
        (result) => {
          if (result.status === 'queued' || result.status === 'running') return;
          if (submission.seen === undefined) submission.seen = result;
          else if (JSON.stringify(result) !== JSON.stringify(submission.seen))
            this.changes.push([submission.seen, result]);
        },
        (error: unknown) => this.errors.push(error),
      );
  }

  #await(service: Service, prompt: string): void {
    const requestId = this.acknowledged.find((each) => each.prompt === prompt)?.requestId;
    if (requestId === undefined) return;
    service.getResult(requestId, { waitMs: QUIET_MAX_MS }).then(
      ({ status }) => this.awaited.push({ prompt, status }),
      (error: unknown) => this.errors.push(error),
    );
  }
}
