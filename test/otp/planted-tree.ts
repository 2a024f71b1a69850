/**
 * The tree of a fault script made of our own supervisors, pools and processes that end as the script says. Everything that a
 * plan leaves out is left out here, too: the defaults are part of what is compared.
 */
import type { ChildSpec, Started, SupervisorOptions } from '../../src/supervision/child-spec.ts';
import { Pool } from '../../src/supervision/pool.ts';
import type { ExitReason } from '../../src/supervision/process.ts';
import { Supervisor } from '../../src/supervision/supervisor.ts';
import type { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { ScriptedProcess } from '../support/scripted-process.ts';
import { Chronicle } from './chronicle.ts';
import { pathBelow } from './recordings.ts';
import type {
  Request,
  ChildPlan,
  EndReason,
  Limits,
  PoolPlan,
  StartResult,
  SupervisorPlan,
  TemplatePlan,
} from './script.ts';

const LATE_MS = 15;

export type Host = Supervisor | Pool<Instance>;

/** What an instance of a pool is started with, each time. */
export interface Instance {
  readonly name: string;
  readonly starts: readonly StartResult[];
}

export class PlantedTree {
  readonly chronicle = new Chronicle();
  readonly #clock: VirtualClock;
  readonly #ask: (host: Host, request: Request) => void;

  /** `ask` plays what failing starts ask of the supervisor that runs them. */
  constructor(clock: VirtualClock, ask: (host: Host, request: Request) => void) {
    this.#clock = clock;
    this.#ask = ask;
  }

  /** Makes a supervisor or pool and starts it. Rejects when that fails. */
  async plant(plan: SupervisorPlan | PoolPlan, path: string): Promise<Host> {
    if (plan.type === 'pool') return this.#createPool(plan, path);
    const supervisor: Supervisor = new Supervisor({
      ...this.#options(plan, path),
      strategy: plan.strategy,
      ...(plan.autoShutdown === undefined ? {} : { autoShutdown: plan.autoShutdown }),
      children: plan.children.map((child) => this.spec(child, path, () => supervisor)),
    });
    await supervisor.start();
    return supervisor;
  }

  /** What a supervisor is told of a child. */
  spec(plan: ChildPlan, parentPath: string, parent: () => Host): ChildSpec {
    const path = pathBelow(parentPath, plan.id);
    return {
      id: plan.id,
      ...limits(plan),
      ...(plan.type === undefined ? {} : { type: 'supervisor' }),
      ...(plan.significant === undefined ? {} : { significant: true }),
      start: () =>
        this.#start(path, (attempt) =>
          plan.type === undefined
            ? this.#startWorker(plan, { path, result: plan.starts?.[attempt - 1], parent })
            : this.plant(plan, path),
        ),
    };
  }

  #createPool(plan: PoolPlan, path: string): Host {
    const pool: Pool<Instance> = new Pool<Instance>({
      ...this.#options(plan, path),
      template: {
        ...limits(plan.template),
        start: ({ name, starts }) => {
          const place = { path: pathBelow(path, name), parent: () => pool };
          return this.#start(place.path, (attempt) =>
            this.#startWorker(plan.template, { ...place, result: starts[attempt - 1] }),
          );
        },
      },
    });
    return pool;
  }

  #options({ intensity, period }: SupervisorPlan | PoolPlan, path: string): Omit<SupervisorOptions, 'children'> {
    return {
      id: path,
      clock: this.#clock,
      backoff: 'none',
      intensity: { restartsMax: intensity, periodMs: period * 1_000 },
      observer: {
        gaveUp: () => {
          this.chronicle.gaveUp(path);
        },
      },
    };
  }

  async #start(path: string, begin: (attempt: number) => Started | Promise<Started>): Promise<Started> {
    const attempt = this.chronicle.begin(path);
    try {
      const started = await begin(attempt);
      if (started === 'ignore') this.chronicle.ignored(path, attempt);
      else this.chronicle.started(path, attempt, started);
      return started;
    } catch (error) {
      this.chronicle.failed(path, attempt);
      throw error;
    }
  }

  #startWorker(plan: TemplatePlan, { path, result = 'ok', parent }: WorkerPlace): ScriptedProcess | 'ignore' {
    if (result === 'ignore') return result;
    if (result !== 'ok') {
      const asks = result === 'error' ? [] : result.asks;
      for (const request of asks) this.#ask(parent(), request);
      throw new Error(`${path} refuses to start`);
    }
    const process = new ScriptedProcess(path, 0);
    process.onStop = () => this.#answerStop(process, plan);
    return process;
  }

  async #answerStop(process: ScriptedProcess, { stop = 'obey' }: TemplatePlan): Promise<void> {
    switch (stop) {
      case 'obey':
        return;
      case 'late':
        return new Promise((resolve) => {
          this.#clock.setTimeout(resolve, LATE_MS);
        });
      case 'never':
        return new Promise(() => undefined);
      case 'wrong':
        process.exit(exitReason('error'));
        return;
      case 'normal':
        process.exit(exitReason('normal'));
    }
  }
}

interface WorkerPlace {
  readonly path: string;
  readonly result: StartResult | undefined;
  /** Known only when it starts somebody. */
  readonly parent: () => Host;
}

/** The exit that a script names. */
export function exitReason(reason: EndReason): ExitReason {
  switch (reason) {
    case 'shutdown:x':
      return { kind: 'shutdown', detail: 'x' };
    case 'error':
      return { kind: 'error', error: new Error('scripted') };
    default:
      return { kind: reason };
  }
}

function limits({ restart, shutdown }: Limits): Pick<ChildSpec, 'restart' | 'shutdown'> {
  return { ...(restart === undefined ? {} : { restart }), ...(shutdown === undefined ? {} : { shutdown }) };
}
