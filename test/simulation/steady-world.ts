/**
 * One provider, callers that arrive by chance, and a failure rate that is known: the worlds in which the breaker's figures
 * (false openings, calls until an outage is seen, time until it is over) can be counted.
 */
import { startService } from '../../src/compose.ts';
import type { Adapter, AdapterCall, AdapterReply } from '../../src/contract/adapter.ts';
import type { Service } from '../../src/contract/service.ts';
import { sleep } from '../../src/runtime/sleep.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { Dice } from './dice.ts';

/** What one call meets: an answer, a 500, or nothing at all. */
export type Luck = 'answer' | 'fail' | 'silence';

export interface SteadyOptions {
  readonly seed: number;
  readonly ratePerSecond: number;
  readonly luck: (nowMs: number, dice: Dice) => Luck;
  /** Default: the runtime's. */
  readonly maxRetries?: number;
}

class SteadyFailure extends Error {}

export class SteadyWorld implements AsyncDisposable {
  readonly clock: VirtualClock;
  readonly service: Service;
  /** Monotonic ms. */
  readonly openings: number[] = [];
  /** Openings of a closed breaker. */
  trips = 0;
  readonly closings: number[] = [];
  readonly calls: { readonly atMs: number; endedAtMs: number | undefined; isAnswered: boolean }[] = [];
  #isOver = false;

  private constructor(clock: VirtualClock, service: Service) {
    this.clock = clock;
    this.service = service;
    service.on('breaker.opened', () => {
      if (this.openings.length === 0 || (this.closings.at(-1) ?? -1) > (this.openings.at(-1) ?? 0)) this.trips += 1;
      this.openings.push(clock.nowMs());
    });
    service.on('breaker.closed', () => this.closings.push(clock.nowMs()));
  }

  static async create({ seed, ratePerSecond, luck, maxRetries }: SteadyOptions): Promise<SteadyWorld> {
    const clock = new VirtualClock({ seed });
    const dice = new Dice(`steady/${seed}`);
    const world: { calls?: SteadyWorld['calls'] } = {};
    const send = async ({ signal }: AdapterCall): Promise<AdapterReply> => {
      const call: SteadyWorld['calls'][number] = { atMs: clock.nowMs(), endedAtMs: undefined, isAnswered: false };
      world.calls?.push(call);
      const fate = luck(clock.nowMs(), dice);
      await sleep(clock, fate === 'silence' ? 86_400_000 : dice.logUniform(200, 4_000), signal);
      signal.throwIfAborted();
      call.endedAtMs = clock.nowMs();
      if (fate === 'fail') throw new SteadyFailure('500');
      call.isAnswered = true;
      return { text: 'fine', usage: { inputTokens: 1, outputTokens: 1 }, finishReason: 'stop', toolCalls: [] };
    };
    const adapter: Adapter = {
      send,
      stream: () => {
        throw new TypeError('nobody streams here');
      },
      check: async () => undefined,
      classify: (error) =>
        error instanceof SteadyFailure
          ? { kind: 'upstream-error', message: '500' }
          : { kind: 'abandoned', message: String(error) },
      supports: (feature) => !feature.startsWith('wire:'),
    };
    const retry = maxRetries === undefined ? {} : { retry: { maxRetries } };
    const service = await startService(
      { providers: { p: { adapter: 'steady', apiKey: 'none', models: ['m'], concurrency: 256, ...retry } } },
      { clock, adapters: { steady: () => adapter } },
    );
    const created = new SteadyWorld(clock, service);
    world.calls = created.calls;
    created.#arrive(ratePerSecond, dice.fork('arrivals'));
    return created;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.clock.waitFor(this.service.stop({ graceMs: 0 }));
  }

  #arrive(ratePerSecond: number, dice: Dice): void {
    this.clock.setTimeout(
      () => {
        if (this.#isOver) return;
        // What becomes of it is seen by the provider.
        this.service.completion({ model: 'm', messages: [{ role: 'user', content: 'hi' }] }).catch(() => undefined);
        this.#arrive(ratePerSecond, dice);
      },
      dice.exponential(1_000 / ratePerSecond),
    );
  }
}
