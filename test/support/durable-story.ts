/**
 * What callers do to a service for some seconds, whatever happens to it: they submit more than fits into memory, cancel, come
 * back with the same keys, read, and stop it once in between. Afterwards it is judged by what they were promised.
 */
import { expect } from 'vitest';
import type { SwitchgearError } from '../../src/contract/errors.ts';
import type { RequestOptions } from '../../src/contract/request.ts';
import type { RequestResult, Service } from '../../src/contract/service.ts';
import type { FragileWorld } from './fragile-world.ts';
import { echo, fail, when } from './scripted-provider.ts';
import { ask } from './test-runtime.ts';

const ANSWER_MS = 100;
const QUIET_MAX_MS = 120_000;

/** One request that somebody submitted, and what became of that. */
interface Submission {
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
  readonly #submissions: Submission[] = [];
  readonly #answers: { readonly prompt: string; readonly text: string }[] = [];
  readonly #errors: unknown[] = [];

  constructor(world: FragileWorld) {
    this.#world = world;
    // The first call of a flaky one fails, whoever makes it.
    world.provider.always = when(({ request }) => {
      const prompt = request.kind === 'completion' ? String(request.messages.at(-1)?.content) : '';
      const isFirst = world.provider.attempts.filter((call) => call.prompt === prompt).length === 1;
      return prompt.startsWith('flaky') && isFirst ? fail('upstream-error', { afterMs: 20 }) : echo(ANSWER_MS);
    });
  }

  async live(): Promise<void> {
    await this.#firstHour();
    await this.#world.down(250);
    await this.#secondHour();
    await this.#untilQuiet();
    await this.#world.down(0);
  }

  async #firstHour(): Promise<void> {
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
      for (let index = 0; index < 6; index += 1) this.#submit(service, `keyed ${index}`, { idempotencyKey: `k ${index}` });
    });
    await this.#at(60, (service) => {
      for (const index of [0, 3]) this.#submit(service, `keyed ${index}`, { idempotencyKey: `k ${index}` });
      this.#cancel(service, 'keyed 4');
      this.#read(service, 5_000);
    });
  }

  async #secondHour(): Promise<void> {
    await this.#at(10, (service) => {
      for (let index = 0; index < 9; index += 1)
        this.#submit(service, index === 3 ? `flaky late ${index}` : `late ${index}`, {
          priority: index % 2 === 0 ? 'low' : 'high',
          timeoutMs: 600_000,
        });
      this.#cancel(service, 'urgent 1');
    });
    await this.#at(150, (service) => {
      this.#ask(service, 'sync 1', { idempotencyKey: 'sync 1' });
      this.#cancel(service, 'late 6');
      this.#submit(service, 'keyed 5', { idempotencyKey: 'k 5' });
    });
    await this.#at(300, (service) => {
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
    for (const untilMs = clock.nowMs() + QUIET_MAX_MS; clock.nowMs() < untilMs; ) {
      await this.#at(1_000, (service) => {
        const { open, parked } = service.queueStatus();
        if (open === 0 && parked === 0) this.#read(service);
      });
      if (this.#acknowledged.every(({ seen }) => seen !== undefined)) return;
    }
    throw new Error(`expected all to end within ${QUIET_MAX_MS} ms, got: ${JSON.stringify(this.#acknowledged)}`);
  }

  get #acknowledged(): readonly Submission[] {
    return this.#submissions.filter(({ requestId }) => requestId !== undefined);
  }

  #submit(service: Service, prompt: string, options: RequestOptions): void {
    const submission: Submission = { prompt, options };
    this.#submissions.push(submission);
    service.completionAsync(ask(prompt), options).then(
      (requestId) => (submission.requestId = requestId),
      (error: unknown) => (submission.refusal = error),
    );
  }

  #ask(service: Service, prompt: string, options: RequestOptions): void {
    service.completion(ask(prompt), options).then(
      ({ text }) => this.#answers.push({ prompt, text }),
      (error: unknown) => this.#errors.push(error),
    );
  }

  #cancel(service: Service, prompt: string): void {
    const submission = this.#submissions.find((each) => each.prompt === prompt && each.requestId !== undefined);
    if (submission?.requestId === undefined) return;
    submission.isCancelAsked = true;
    service.cancel(submission.requestId).then(
      (isCancelled) => (submission.cancelled = isCancelled),
      (error: unknown) => this.#errors.push(error),
    );
  }

  /** Reads all that were acknowledged. Who has read an end once reads the same one ever after. */
  #read(service: Service, waitMs = 0): void {
    for (const submission of this.#acknowledged)
      service.getResult(submission.requestId ?? '', { waitMs }).then(
        (result) => {
          if (result.status === 'queued' || result.status === 'running') return;
          if (submission.seen === undefined) submission.seen = result;
          else expectSame(result, submission.seen);
        },
        (error: unknown) => this.#errors.push(error),
      );
  }

  /** What must be true of it afterwards, whatever went wrong once. */
  judge(isFaultFree: boolean): void {
    this.#judgeEnds();
    this.#judgeCalls();
    this.#judgeFile();
    expect(this.#submissions.length).toBeGreaterThanOrEqual(30);
    const codes = this.#errors.map((error) => (error as SwitchgearError).code);
    const refused = this.#submissions.flatMap(({ refusal }) => (refusal === undefined ? [] : [(refusal as SwitchgearError).code]));
    if (isFaultFree) expect([codes, refused]).toEqual([[], []]);
    // One operation failed: one caller at most was told of it, and who shared its fate by a key.
    expect([...codes, ...refused].filter((code) => code !== 'store-unavailable' && code !== 'shutting-down')).toEqual([]);
    expect(refused.length).toBeLessThanOrEqual(2);
  }

  /** Nothing acknowledged is lost; each ends once, as its caller wanted it. */
  #judgeEnds(): void {
    for (const { prompt, requestId, seen, cancelled, isCancelAsked } of this.#acknowledged) {
      const name = `${prompt} ${requestId}`;
      expect([name, seen?.status]).toEqual([name, cancelled === true ? 'cancelled' : seen?.status]);
      if (cancelled === false || isCancelAsked !== true) expect([name, seen?.status]).toEqual([name, 'succeeded']);
      if (seen?.status === 'succeeded') expect(seen.response.text).toBe(`a: ${prompt}`);
      const told = this.#world.told.filter((each) => each.requestId === requestId);
      expect(told.length).toBeLessThanOrEqual(1);
      if (this.#world.crashes === 0) expect([name, told]).toEqual([name, [{ requestId, outcome: seen?.status }]]);
    }
    for (const { prompt, text } of this.#answers) expect(text).toBe(`a: ${prompt}`);
    for (const key of new Set(this.#acknowledged.flatMap(({ options }) => options.idempotencyKey ?? []))) {
      const same = this.#acknowledged.filter(({ options }) => options.idempotencyKey === key);
      expect(new Set(same.map(({ requestId }) => requestId)).size).toBe(1);
    }
  }

  /** Each is sent once, and once more for its failure and for each process that died meanwhile. */
  #judgeCalls(): void {
    const { provider, crashes } = this.#world;
    const counts = Map.groupBy(provider.attempts, ({ requestId }) => requestId);
    for (const calls of counts.values()) {
      const prompt = calls[0]?.prompt ?? '';
      const allowed = 1 + (prompt.startsWith('flaky') ? 1 : 0) + crashes;
      expect(`${prompt}: ${calls.length <= allowed}`).toBe(`${prompt}: true`);
    }
  }

  /** Nothing is claimed, running or parked, and nothing of what has ended lies about. */
  #judgeFile(): void {
    const { file } = this.#world;
    const open = file.read(
      `SELECT id, status, owner FROM requests WHERE owner <> 0 OR status NOT IN ('succeeded', 'failed', 'cancelled')`,
    );
    expect(open).toEqual([]);
    expect(file.read(`SELECT seq FROM requests WHERE seq NOT IN (SELECT seq FROM settlements)`)).toEqual([]);
    expect(file.read(`SELECT seq FROM attempts WHERE report IS NULL`)).toEqual([]);
    const known = new Set(file.read(`SELECT id FROM requests`).map(({ id }) => id));
    for (const { requestId } of this.#acknowledged) expect(known).toContain(requestId);
  }
}

function expectSame(result: RequestResult, seen: RequestResult): void {
  expect(JSON.stringify(result)).toBe(JSON.stringify(seen));
}
