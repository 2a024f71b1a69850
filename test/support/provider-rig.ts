/**
 * One provider actor with its control under virtual time, and the few sentences tests say to it: claim, succeed, fail,
 * report a kind of failure, crash, start again. There is no supervisor here; a test says when the next incarnation starts.
 */
import type { Announce } from '../../src/actors/announce.ts';
import type { Actor } from '../../src/supervision/actor.ts';
import type { ExitReason } from '../../src/supervision/process.ts';
import type { ProviderMachine } from '../../src/actors/provider.ts';
import { type ClaimRequest, type ClaimResult, ProviderControl } from '../../src/actors/provider-control.ts';
import { ProviderKeeper, type ProviderKeeperDeps } from '../../src/actors/provider-keeper.ts';
import type { Permit, Report } from '../../src/actors/provider-memory.ts';
import { Registry } from '../../src/supervision/registry.ts';
import { steadyWall } from '../../src/contract/clock.ts';
import type { ProviderConfig } from '../../src/contract/config.ts';
import type { EventName, Events } from '../../src/contract/events.ts';
import { FAILURE_POLICY, type FailureKind } from '../../src/contract/failures.ts';
import type { ProviderState } from '../../src/contract/state.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { createProviderConfig } from './adapter-calls.ts';

/** Both default breaker times, as far as tests count with them: jitter is ±20 %. */
export const OPEN_MS = 15_000;
export const OPEN_MAX_JITTERED_MS = OPEN_MS * 1.2;
/** The own limit of an attempt when a test does not say another. */
export const LIMIT_MS = 12_000;
export const LEASE_MS = LIMIT_MS + 5_000;
/** More than any rule of the breaker wants to see. */
const ATTEMPTS_MAX = 100;

export interface Announced {
  readonly name: EventName;
  readonly payload: Events[EventName];
}

export interface RigOptions {
  readonly config?: Partial<ProviderConfig>;
  readonly seed?: number;
  /** Also sees each event before the actor does; a throw crashes it. */
  readonly beforeEvent?: (event: { readonly type: string }) => void;
  /** Default: at monotonic 0, with nothing to be late for. */
  readonly clock?: VirtualClock;
  /** What keeps its state; left out: nothing does. */
  readonly states?: Pick<ProviderKeeperDeps, 'stored' | 'save'>;
  readonly isReturning?: boolean;
}

export class ProviderRig {
  readonly clock: VirtualClock;
  readonly registry = new Registry();
  readonly control: ProviderControl;
  readonly keeper: ProviderKeeper | undefined;
  readonly announced: Announced[] = [];
  readonly exits: ExitReason[] = [];
  #incarnation = 0;

  constructor({ config = {}, seed = 1, beforeEvent, clock, states, isReturning = false }: RigOptions = {}) {
    this.clock = clock ?? new VirtualClock({ seed });
    const announce: Announce = (name, payload) => {
      this.announced.push({ name, payload });
    };
    // Telling keys apart is enough here.
    const fingerprint = (apiKey = '') => `${apiKey.length}${apiKey.at(-1)}`;
    const steadyMs = steadyWall(this.clock);
    this.keeper =
      states && new ProviderKeeper({ ...states, name: 'upstream', clock: this.clock, steadyMs, fingerprint, announce });
    this.control = new ProviderControl({
      config: createProviderConfig({ name: 'upstream', adapter: 'openai', ...config }),
      clock: this.clock,
      registry: this.registry,
      announce,
      isReturning,
      ...(this.keeper !== undefined && { keeper: this.keeper }),
      beforeEvent:
        beforeEvent &&
        ((_actorId, event) => {
          beforeEvent(event);
        }),
    });
    this.start();
  }

  get state(): ProviderState {
    return this.control.state();
  }

  get breaker(): ProviderState['breaker']['state'] {
    return this.state.breaker.state;
  }

  get actor(): Actor<ProviderMachine> {
    const actor = this.registry.find('provider/upstream');
    if (actor === undefined) throw new TypeError('expected the actor to live');
    // Only `start` registers processes here.
    return actor as Actor<ProviderMachine>;
  }

  get isAlive(): boolean {
    return this.registry.find('provider/upstream') !== undefined;
  }

  /** Starts the next incarnation as a supervisor does. */
  start(): void {
    const actor = this.control.startActor(++this.#incarnation);
    this.registry.register(actor);
    this.control.actorStarted();
    actor.onExit((reason) => {
      this.exits.push(reason);
      this.registry.unregister(actor);
      this.control.actorExited();
    });
  }

  crash(): void {
    this.actor.crash(new Error('crashed by the test'));
  }

  /** A crash and the next incarnation, in no time. */
  restart(): void {
    this.crash();
    this.start();
  }

  claim(request: Partial<ClaimRequest> = {}): ClaimResult {
    return this.control.claim({
      model: 'model-1',
      limitMs: LIMIT_MS,
      isForced: false,
      avoid: new Set(),
      pace: { tokens: 0 },
      ...request,
    });
  }

  /** A claim that has to succeed. */
  permit(request: Partial<ClaimRequest> = {}): Permit {
    const result = this.claim(request);
    if (result.kind !== 'claimed') throw new TypeError(`expected a permit, got: ${JSON.stringify(result)}`);
    return result.permit;
  }

  report(permit: Permit, kind: FailureKind | 'success', changes: Partial<Report> = {}): void {
    this.control.report(permit, { ...reportOf(kind), ...changes });
  }

  /** One claimed attempt that ends at once. */
  attempt(kind: FailureKind | 'success', changes: Partial<Report> = {}): void {
    this.report(this.permit(), kind, changes);
  }

  attempts(count: number, kind: FailureKind | 'success'): void {
    for (let index = 0; index < count; index += 1) this.attempt(kind);
  }

  /** Opens a closed breaker by failures in a row. */
  open(): void {
    this.#attemptWhile('closed', 'upstream-error');
  }

  /** Opens a closed breaker and waits until it would admit a probe. */
  async openAndWait(): Promise<void> {
    this.open();
    await this.halfOpen();
  }

  /** Waits until an open breaker is half-open. */
  async halfOpen(): Promise<void> {
    const openMs = (this.state.breaker.nextProbeAt ?? this.clock.wallMs()) - this.clock.wallMs();
    await this.clock.advance(openMs + 1);
    if (this.breaker !== 'halfOpen') throw new TypeError(`expected the breaker to be half-open, got: ${this.breaker}`);
  }

  /** Closes a half-open breaker by probes that succeed. */
  close(): void {
    this.#attemptWhile('halfOpen', 'success');
  }

  #attemptWhile(breaker: ProviderState['breaker']['state'], kind: FailureKind | 'success'): void {
    for (let count = 0; this.breaker === breaker; count += 1) {
      if (count === ATTEMPTS_MAX) throw new TypeError(`expected ${count} attempts to be enough, got: still ${breaker}`);
      this.attempt(kind);
    }
  }

  namesOf(prefix: string): readonly EventName[] {
    return this.announced.filter(({ name }) => name.startsWith(prefix)).map(({ name }) => name);
  }
}

/** What the path of a request tells the actor after an attempt that ended like this. */
export function reportOf(kind: FailureKind | 'success'): Report {
  if (kind === 'success') return { verdict: 'success', effect: 'none', model: 'model-1' };
  const { breaker, effect } = FAILURE_POLICY[kind];
  return {
    verdict: breaker,
    effect,
    model: 'model-1',
    message: `ended as ${kind}`,
    ...(effect === 'hold-gate' && { holdMs: 1_000 }),
  };
}
