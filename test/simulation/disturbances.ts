/** What is done to the service while it works: actors crash, the wall clock jumps, an operator intervenes, listeners throw. */
import type { Service } from '../../src/contract/service.ts';
import type { VirtualClock } from '../../src/testing/virtual-clock.ts';
import type { Chronicle } from './chronicle.ts';
import type { Dice } from './dice.ts';
import type { Plan } from './plan.ts';

const DAY_MS = 86_400_000;
/** The root may restart three children in 5 s; the simulation leaves it one. */
const ROOT_CRASHES_MAX = 2;
const ROOT_WINDOW_MS = 5_000;
/** A provider may be restarted five times in a minute. */
const PROVIDER_CRASHES_MAX = 4;
const PROVIDER_WINDOW_MS = 60_000;
/** A third crash on the same event drops it, which is a promise of its own with tests of its own. */
const CRASHES_BY_EVENT_MAX = 2;

class InjectedCrash extends Error {}

/** Decides which events crash the actor that is about to take them. */
export class CrashInjector {
  isHealed = false;
  readonly #plan: Plan;
  readonly #clock: VirtualClock;
  readonly #dice: Dice;
  readonly #chronicle: Chronicle;
  readonly #byEvent = new WeakMap<object, number>();
  readonly #seen = new Map<string, number>();
  /** By actor: how often it was made to crash. */
  readonly crashes = new Map<string, number>();
  #rootCrashes: number[] = [];
  readonly #providerCrashes = new Map<string, readonly number[]>();

  constructor(plan: Plan, clock: VirtualClock, dice: Dice, chronicle: Chronicle) {
    this.#plan = plan;
    this.#clock = clock;
    this.#dice = dice;
    this.#chronicle = chronicle;
  }

  /** @throws {InjectedCrash} */
  judge(actor: string, event: { readonly type: string }): void {
    if (this.isHealed || !this.#isChosen(actor)) return;
    const before = this.#byEvent.get(event) ?? 0;
    if (before >= CRASHES_BY_EVENT_MAX || !this.#mayCrash(actor)) return;
    this.#byEvent.set(event, before + 1);
    this.crashes.set(actor, (this.crashes.get(actor) ?? 0) + 1);
    this.#chronicle.count(`crash: ${actor.startsWith('provider/') ? 'provider' : actor}`);
    throw new InjectedCrash(`injected into ${actor} at ${event.type}`);
  }

  /** Events that the service actor and the busiest provider have both seen. */
  get seen(): number {
    const of = (actor: string) => this.#seen.get(actor) ?? 0;
    const busiest = Math.max(...this.#plan.providers.map(({ name }) => of(`provider/${name}`)));
    return Math.min(of('service'), busiest);
  }

  #isChosen(actor: string): boolean {
    const { crashPoints } = this.#plan.disturbances;
    if (crashPoints === undefined) return this.#dice.chance(this.#likelihood(actor));
    const nth = (this.#seen.get(actor) ?? 0) + 1;
    this.#seen.set(actor, nth);
    const { first, every, last } = crashPoints;
    return nth >= first && nth <= last && (nth - first) % every === 0;
  }

  #likelihood(actor: string): number {
    const { crashes, curse } = this.#plan.disturbances;
    if (curse === undefined || actor !== `provider/${this.#plan.providers[0]?.name}`) return crashes;
    const nowMs = this.#clock.nowMs();
    return nowMs >= curse.fromMs && nowMs < curse.untilMs ? 0.5 : crashes;
  }

  /** One that crashes too often is given up, which is another story. */
  #mayProviderCrash(actor: string): boolean {
    const nowMs = this.#clock.nowMs();
    const recent = (this.#providerCrashes.get(actor) ?? []).filter((atMs) => nowMs - atMs <= PROVIDER_WINDOW_MS);
    if (recent.length >= PROVIDER_CRASHES_MAX) return false;
    this.#providerCrashes.set(actor, [...recent, nowMs]);
    return true;
  }

  #mayCrash(actor: string): boolean {
    const nowMs = this.#clock.nowMs();
    if (actor.startsWith('provider/'))
      return this.#plan.disturbances.crashPoints === undefined || this.#mayProviderCrash(actor);
    this.#rootCrashes = this.#rootCrashes.filter((atMs) => nowMs - atMs <= ROOT_WINDOW_MS);
    if (this.#rootCrashes.length >= ROOT_CRASHES_MAX) return false;
    this.#rootCrashes.push(nowMs);
    return true;
  }
}

export interface DisturbanceDeps {
  /** The process that runs; undefined: none. */
  readonly service: () => Service | undefined;
  readonly clock: VirtualClock;
  readonly dice: Dice;
  readonly chronicle: Chronicle;
  readonly plan: Plan;
  /** Monotonic ms after which nothing is done any more. */
  readonly untilMs: number;
  /** Whether everything is being healed already. */
  readonly isHealed: () => boolean;
}

/** Begins to disturb at random moments. */
export function disturb(deps: DisturbanceDeps): void {
  const { wallJumpEveryMs, operatorEveryMs } = deps.plan.disturbances;
  const withDice = (name: string) => ({ ...deps, dice: deps.dice.fork(name) });
  if (wallJumpEveryMs !== undefined) repeat(withDice('wall'), wallJumpEveryMs, jumpWall);
  if (operatorEveryMs !== undefined) repeat(withDice('operator'), operatorEveryMs, intervene);
}

/** Revives what gave up and gives blocked keys another chance, as a careful operator does. */
export async function revive(service: Service, chronicle: Chronicle): Promise<void> {
  for (const [name, state] of Object.entries(service.providerStates())) {
    const isBlocked = state.credentials.some(({ state: known }) => known === 'disabled' || known === 'exhausted');
    if (state.isSuspended) await service.supervisor.resume(name);
    if (!isBlocked && !state.isDown) continue;
    chronicle.count(state.isDown ? 'operator: revives a provider' : 'operator: restores keys');
    chronicle.note(`operator restarts ${name}`);
    await service.supervisor.restart(name);
  }
}

function repeat(deps: DisturbanceDeps, everyMs: number, act: (deps: DisturbanceDeps) => Promise<void>): void {
  const delayMs = deps.dice.exponential(everyMs);
  if (deps.clock.nowMs() + delayMs > deps.untilMs) return;
  deps.clock.setTimeout(() => {
    if (deps.isHealed()) return;
    void act(deps)
      .catch((error: unknown) => {
        deps.chronicle.expect(false, 'operators get what they ask for', () => String(error));
      })
      .finally(() => {
        repeat(deps, everyMs, act);
      });
  }, delayMs);
}

async function jumpWall({ clock, dice, chronicle }: DisturbanceDeps): Promise<void> {
  const byMs = Math.round(dice.between(-DAY_MS, DAY_MS));
  chronicle.count('wall clock jumped');
  clock.jumpWall(byMs);
}

async function intervene(deps: DisturbanceDeps): Promise<void> {
  const { dice, clock, chronicle, plan } = deps;
  const service = deps.service();
  // While it ends nobody changes it.
  if (service?.state !== 'running') return;
  const { name, concurrency } = dice.pick(plan.providers);
  switch (dice.pick(['revive', 'revive', 'restart', 'suspend', 'patch', 'reload'] as const)) {
    case 'revive':
      return revive(service, chronicle);
    case 'restart': {
      const id = dice.pick([name, 'cost-tracker', 'health-monitor', 'service']);
      chronicle.count('operator: restarts an actor');
      chronicle.note(`operator restarts ${id}`);
      return service.supervisor.restart(id);
    }
    case 'suspend': {
      const state = service.providerStates()[name];
      if (state === undefined || state.isDown || state.isSuspended) return;
      chronicle.count('operator: suspends a provider');
      await service.supervisor.suspend(name).catch(ignoreDead);
      clock.setTimeout(
        () => {
          void service.supervisor.resume(name).catch(ignoreDead);
        },
        dice.between(100, 60_000),
      );
      return;
    }
    case 'patch':
      chronicle.count('operator: changes a provider');
      return service.updateProvider(name, { concurrency: dice.chance(0.5) ? concurrency : dice.integer(1, 8) });
    case 'reload':
      chronicle.count('operator: reloads');
      return service.reload();
  }
}

/** An actor that is restarting just then can be told nothing. */
function ignoreDead(): void {}
