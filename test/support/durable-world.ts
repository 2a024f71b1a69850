/**
 * Processes that come one after the other over one store file, in virtual time. A process can be killed: from then on none of
 * its timers fires, its store answers nobody and its providers never answer, as if it were gone; the file is let go.
 */
import { pino } from 'pino';
import { startService } from '../../src/compose.ts';
import type { ServiceInput } from '../../src/config/input.ts';
import type { EventName, Events } from '../../src/contract/events.ts';
import type { Service } from '../../src/contract/service.ts';
import type { Host } from '../../src/stores/sqlite/gateway.ts';
import type { OperationName } from '../../src/stores/sqlite/operations.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { MortalClock } from './mortal-clock.ts';
import { type Behaviour, ScriptedProvider } from './scripted-provider.ts';
import { StoreFile } from './store-file.ts';

export interface ProcessOptions {
  readonly service?: ServiceInput;
  /** Models of provider `a`. Default: `m`. */
  readonly models?: readonly string[];
  readonly concurrency?: number;
  /** What the provider does from the start. Default: it answers. */
  readonly always?: Behaviour;
  /** Puts something between the process and its engine; `die` ends the process at that moment. */
  readonly wrapHost?: (host: Host, die: () => void) => Host;
}

export class DurableProcess {
  readonly service: Service;
  readonly provider: ScriptedProvider;
  /** Operations that the store was asked for. */
  readonly asked: readonly OperationName[];
  readonly #clock: MortalClock;
  readonly #release: () => void;

  constructor(parts: {
    readonly service: Service;
    readonly provider: ScriptedProvider;
    readonly asked: readonly OperationName[];
    readonly clock: MortalClock;
    readonly release: () => void;
  }) {
    this.service = parts.service;
    this.provider = parts.provider;
    this.asked = parts.asked;
    this.#clock = parts.clock;
    this.#release = parts.release;
  }

  /** Gone, from one moment to the next. */
  kill(): void {
    this.#clock.die();
    this.#release();
  }

  askedFor(name: OperationName): number {
    return this.asked.filter((asked) => asked === name).length;
  }
}

export class DurableWorld implements Disposable {
  readonly clock = new VirtualClock();
  readonly file = new StoreFile();
  /** What all processes logged, oldest first. */
  readonly lines: string[] = [];
  readonly #logger = pino({ level: 'debug' }, { write: (line: string) => void this.lines.push(line) });
  /** What all processes announced once they had started, oldest first. */
  readonly events: { readonly name: EventName; readonly payload: Events[EventName] }[] = [];

  /** The next process. */
  async start({
    service: limits,
    models = ['m'],
    concurrency = 4,
    always,
    wrapHost = (host) => host,
  }: ProcessOptions = {}): Promise<DurableProcess> {
    const clock = new MortalClock(this.clock);
    const provider = new ScriptedProvider('a', clock);
    if (always !== undefined) provider.always = always;
    const asked: OperationName[] = [];
    let letGo = () => undefined as void;
    const storage = this.file.open(clock, { resultTtlMs: 86_400_000 }, (host) => {
      letGo = () => void host.close();
      return mortalHost(
        wrapHost(host, () => clock.die()),
        clock,
        asked,
      );
    });
    const config = {
      ...(limits !== undefined && { service: limits }),
      providers: {
        a: { adapter: 'scripted', apiKey: 'none', models, concurrency, health: { intervalMs: 86_400_000 } },
      },
    };
    const service = await this.clock.waitFor(
      startService(config, { clock, storage, logger: this.#logger, adapters: { scripted: provider.createAdapter } }),
    );
    for (const name of ['request.settled', 'request.parked', 'store.failed'] as const)
      service.on(name, (payload) => this.events.push({ name, payload }));
    return new DurableProcess({ service, provider, asked, clock, release: letGo });
  }

  /** What each process found when it started, of those that found something. */
  get recovered(): readonly unknown[] {
    const found = this.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    return found
      .filter(({ msg }) => msg === 'recovered')
      .map(({ queued, requeued, interrupted }) => ({ queued, requeued, interrupted }));
  }

  run<Value>(promise: Promise<Value>): Promise<Value> {
    return this.clock.waitFor(promise);
  }

  [Symbol.dispose](): void {
    this.file[Symbol.dispose]();
  }
}

function mortalHost(host: Host, clock: MortalClock, asked: OperationName[]): Host {
  return {
    ...host,
    run: async (group) => {
      if (clock.isDead) return new Promise<never>(() => undefined);
      asked.push(...group.map(({ name }) => name));
      const result = await host.run(group);
      return clock.isDead ? new Promise<never>(() => undefined) : result;
    },
  };
}
