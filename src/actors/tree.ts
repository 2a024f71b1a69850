/**
 * The supervision tree of one service: root, cost tracker, one supervisor per provider under `providers`, health monitor and
 * service. It wires names, crash events and the operator's view; what the actors do is in their own files.
 */
import type { Clock } from '../contract/clock.ts';
import type { ChildState } from '../contract/state.ts';
import type { Announce } from './announce.ts';
import { COST_TRACKER_ID, type CostControl } from './cost-tracker.ts';
import { HEALTH_MONITOR_ID, type HealthControl } from './health-monitor.ts';
import { type ExitReason, type Process, SupervisorError } from '../supervision/process.ts';
import type { ProviderControl } from './provider-control.ts';
import type { Registry } from '../supervision/registry.ts';
import { SERVICE_ID, type ServiceControl } from './service.ts';
import { Actor } from '../supervision/actor.ts';
import type { ChildHistory, ChildSpec, SupervisorObserver } from '../supervision/child-spec.ts';
import { Supervisor } from '../supervision/supervisor.ts';

const PROVIDERS_ID = 'providers';
const ROOT_INTENSITY = { restartsMax: 3, periodMs: 5_000 };
const PROVIDER_INTENSITY = { restartsMax: 5, periodMs: 60_000 };

export interface TreeDeps {
  readonly clock: Clock;
  readonly announce: Announce;
  readonly registry: Registry;
  readonly costs: CostControl;
  readonly health: HealthControl;
  readonly service: ServiceControl;
}

export class Tree {
  readonly #deps: TreeDeps;
  readonly #root: Supervisor;
  readonly #providers: Supervisor;
  readonly #controls = new Map<string, ProviderControl>();
  readonly #histories = new Map<string, ChildHistory>();

  constructor(deps: TreeDeps) {
    this.#deps = deps;
    const { clock, costs, health, service } = deps;
    this.#providers = new Supervisor({ id: PROVIDERS_ID, children: [], clock, intensity: ROOT_INTENSITY });
    this.#root = new Supervisor({
      id: 'supervisor',
      clock,
      intensity: ROOT_INTENSITY,
      observer: this.#observer(),
      children: [
        { id: COST_TRACKER_ID, start: ({ incarnation }) => costs.startActor(incarnation) },
        { id: PROVIDERS_ID, start: () => this.#providers },
        { id: HEALTH_MONITOR_ID, start: ({ incarnation }) => health.startActor(incarnation) },
        { id: SERVICE_ID, start: ({ incarnation }) => service.startActor(incarnation) },
      ],
    });
  }

  start(): Promise<void> {
    return this.#root.start();
  }

  stop(): Promise<void> {
    return this.#root.stop();
  }

  /** Calls `listener` when the root has ended, also when it gave up. */
  onExit(listener: (reason: ExitReason) => void): void {
    this.#root.onExit(listener);
  }

  async addProvider(control: ProviderControl): Promise<void> {
    this.#controls.set(control.name, control);
    this.#histories.set(control.name, new Map());
    await this.#providers.startChild(this.#providerSpec(control));
  }

  async removeProvider(name: string): Promise<void> {
    // One behind the other, so that nobody starts it again in between.
    await Promise.all([this.#providers.terminateChild(name), this.#providers.deleteChild(name)]);
    this.#controls.delete(name);
    this.#histories.delete(name);
  }

  /** The tree as operators see it: a provider's supervisor and its one actor are one node. */
  children(): readonly ChildState[] {
    return this.#root.children().map((child) => {
      if (child.id !== PROVIDERS_ID) return child;
      return { ...child, children: (child.children ?? []).map((provider) => this.#providerNode(provider)) };
    });
  }

  /** @throws {SupervisorError} `not-found`, `noproc` */
  suspend(id: string): void {
    const process = this.#living(id);
    process.suspend?.();
    this.#controls.get(id)?.noteChange();
  }

  /** @throws {SupervisorError} `not-found`, `noproc` */
  resume(id: string): void {
    const process = this.#living(id);
    process.resume?.();
    // Delivers what its mailbox had no room for.
    (this.#controls.get(id) ?? this.#control(id))?.actorStarted();
  }

  /** Starts a new incarnation; of a provider also one that gave up, with its credentials given another chance. */
  async restart(id: string): Promise<void> {
    const control = this.#controls.get(id);
    if (control === undefined) {
      this.#assertKnown(id);
      await this.#root.renewChild(id);
      return;
    }
    const supervisor = this.#providers.processOf(id);
    await (supervisor instanceof Supervisor ? supervisor : this.#providers).renewChild(id);
    control.resetCredentials();
    if (!(supervisor instanceof Supervisor)) this.#deps.announce('provider.revived', { provider: id });
  }

  #providerSpec(control: ProviderControl): ChildSpec {
    const { clock } = this.#deps;
    const { name } = control;
    return {
      id: name,
      restart: 'transient',
      start: async () => {
        const history = this.#histories.get(name) ?? new Map();
        const supervisor = new Supervisor({
          id: name,
          clock,
          intensity: PROVIDER_INTENSITY,
          history,
          observer: this.#observer(control),
          children: [{ id: name, start: ({ incarnation }) => control.startActor(incarnation) }],
        });
        await supervisor.start();
        return supervisor;
      },
    };
  }

  /** Keeps names, controls and observers informed of starts and exits. */
  #observer(provider?: ProviderControl): SupervisorObserver {
    const { announce, registry } = this.#deps;
    return {
      childStarted: (id, process, incarnation, restarts) => {
        registry.register(process);
        (provider ?? this.#control(id))?.actorStarted();
        if (incarnation > 1) announce('actor.restarted', { actor: id, incarnation, restarts });
      },
      childExited: (id, process, incarnation, reason) => {
        registry.unregister(process);
        provider?.actorExited();
        if (reason.kind === 'error')
          announce('actor.crashed', { actor: id, incarnation, message: describeCrash(process, reason.error) });
      },
      gaveUp: (id, restarts) => {
        if (provider === undefined) return;
        provider.markDown();
        announce('provider.gaveUp', { provider: id, restarts });
      },
      failed: (error) => {
        announce('listener.failed', { event: 'supervisor', message: describeError(error) });
      },
    };
  }

  #control(id: string): { actorStarted(): void } | undefined {
    const { costs, health, service } = this.#deps;
    return { [COST_TRACKER_ID]: costs, [HEALTH_MONITOR_ID]: health, [SERVICE_ID]: service }[id];
  }

  #providerNode(outer: ChildState): ChildState {
    const inner = outer.children?.find((child) => child.id === outer.id);
    const history = this.#histories.get(outer.id)?.get(outer.id) ?? { incarnation: 0, restarts: 0 };
    if (inner === undefined) return { id: outer.id, state: 'down', ...history };
    return inner;
  }

  #living(id: string): Process {
    const inner = this.#providers.processOf(id);
    const process = inner instanceof Supervisor ? inner.processOf(id) : this.#root.processOf(id);
    this.#assertKnown(id);
    if (process === undefined) throw new SupervisorError('noproc', `actor ${id} is not running now; restart it first`);
    return process;
  }

  #assertKnown(id: string): void {
    const known = [COST_TRACKER_ID, HEALTH_MONITOR_ID, SERVICE_ID, ...this.#controls.keys()];
    if (!known.includes(id))
      throw new SupervisorError('not-found', `expected the id of an actor (${known.join(', ')}), got: ${id}`);
  }
}

/** With what it was at, for whoever has to find out why. */
function describeCrash(process: Process, error: unknown): string {
  const report = process instanceof Actor ? process.crashReport : undefined;
  if (report === undefined) return describeError(error);
  const event = report.event === undefined ? '' : ` at ${report.event}`;
  return `${describeError(error)};${event} in ${JSON.stringify(report.state)}`;
}

function describeError(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
