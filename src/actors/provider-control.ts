/**
 * The synchronous face of one provider: what a request may read and claim without a mailbox. A claim is one step (R3): it
 * checks the actor's snapshot and tells the actor in the same turn. It finds the actor by name each time (R6), keeps what
 * the actor knows across its crashes, and delivers reports that came while the actor was down.
 */
import type { Clock } from '../contract/clock.ts';
import type { Credential, ProviderConfig } from '../contract/config.ts';
import type { ProviderState } from '../contract/state.ts';
import type { Admission } from '../policy/rank.ts';
import { type PaceRequest, PacingBuckets } from './pacing-buckets.ts';
import { countWindow, rollWindow } from '../policy/window.ts';
import { Actor, type BeforeEvent } from '../supervision/actor.ts';
import { admissionOf, createWait } from './admission.ts';
import type { Announce } from './announce.ts';
import { isBlocked, nextCredential, pickCredential } from './credentials.ts';
import { Mailbag } from './mailbag.ts';
import type { ProviderKeeper } from './provider-keeper.ts';
import { createProviderMachine, type ProviderMachine } from './provider.ts';
import {
  createProviderMemory,
  type Permit,
  type ProviderMemory,
  removePermit,
  type Report,
} from './provider-memory.ts';
import { urgencyOf } from './provider-snapshot.ts';
import type { Registry } from '../supervision/registry.ts';
import { RetryBuckets } from './retry-buckets.ts';

/** What a request is told to wait when the actor is down and its supervisor will restart it. */
const RESTART_WAIT_MS = 1_000;

export interface ClaimRequest {
  readonly model: string;
  /** The attempt's own limit. */
  readonly limitMs: number;
  readonly isForced: boolean;
  /** Credentials that already failed this request. */
  readonly avoid: ReadonlySet<string>;
  readonly pace: PaceRequest;
  /** The first attempt of a later round, at a target that was asked before: a retry like any other. Default false. */
  readonly isRepeat?: boolean;
}

export type ClaimResult =
  | {
      readonly kind: 'claimed';
      readonly permit: Permit;
      readonly credential: Credential;
      /** It cost a retry that is given back when the attempt is answered. */
      readonly isRefundable: boolean;
    }
  /** Pacing: ask again after `waitMs`. */
  | { readonly kind: 'paced'; readonly waitMs: number }
  /** A repeat that the retry budget does not allow now. */
  | { readonly kind: 'unaffordable' }
  | { readonly kind: 'refused'; readonly admission: Admission };

export interface ProviderControlDeps {
  readonly config: ProviderConfig;
  readonly clock: Clock;
  readonly registry: Registry;
  readonly announce: Announce;
  readonly beforeEvent: BeforeEvent | undefined;
  /** Keeps what shall outlive the process; left out: nothing does. */
  readonly keeper?: ProviderKeeper;
  /** It was added while the service ran. Default false. */
  readonly isReturning?: boolean;
}

/** The registry name of a provider's actor. */
function providerActorId(name: string): string {
  return `provider/${name}`;
}

export class ProviderControl {
  readonly name: string;
  readonly #deps: ProviderControlDeps;
  readonly #changeListeners = new Set<() => void>();
  readonly #paceListeners = new Set<() => void>();
  readonly #mailbag: Mailbag<ProviderMachine>;
  readonly #retryBuckets: RetryBuckets;
  #pacing: PacingBuckets;
  #memory: ProviderMemory;
  #permitSequence = 0;
  #isDown = false;
  #isChangePending = false;

  constructor(deps: ProviderControlDeps) {
    this.#deps = deps;
    this.name = deps.config.name;
    this.#mailbag = new Mailbag(providerActorId(deps.config.name), deps.registry, deps.announce, (event) => {
      // Its permit ends with it, or the slot would be taken for ever.
      if (event.type === 'attempt.reported') this.#memory = removePermit(this.#memory, event.permit.id);
    });
    const known = deps.keeper?.begin(deps.config, deps.isReturning ?? false);
    this.#memory = known?.memory ?? createProviderMemory(deps.config, deps.clock.nowMs());
    this.#pacing = known?.pacing ?? new PacingBuckets(deps.config.rateLimit);
    deps.keeper?.watch(() => ({ memory: this.#memory, pacing: this.#pacing }));
    this.#retryBuckets = new RetryBuckets(deps.clock);
  }

  get config(): ProviderConfig {
    return this.#memory.config;
  }

  /** Starts an incarnation of the actor from what the last one knew. */
  startActor(incarnation: number): Actor<ProviderMachine> {
    const { clock, announce, beforeEvent } = this.#deps;
    return new Actor({
      id: this.#mailbag.actorId,
      incarnation,
      machine: createProviderMachine({ memory: this.#memory, clock, announce }),
      clock,
      beforeEvent,
      onUndelivered: this.#mailbag.keep,
      onSnapshot: (snapshot) => {
        const urgency = urgencyOf(this.#memory, snapshot.context);
        this.#memory = snapshot.context;
        if (urgency !== undefined) this.#deps.keeper?.noteChange(urgency);
        this.#changed();
      },
    });
  }

  /** Called when an incarnation is registered: delivers what came in between. */
  actorStarted(): void {
    this.#isDown = false;
    this.#mailbag.deliver();
    this.#changed();
  }

  actorExited(): void {
    this.#changed();
  }

  /** Something outside the actor changed what this provider admits. */
  noteChange(): void {
    this.#changed();
  }

  /** The provider left the config: what its last attempts report is nobody's business any more (R4). */
  retire(): void {
    this.#mailbag.close();
  }

  /** Called when the provider's supervisor gave up. */
  markDown(): void {
    this.#isDown = true;
    this.#changed();
  }

  /** Whether this provider would take a request for `model` now. */
  admission(model: string): Admission {
    if (this.#isDown)
      return { kind: 'never', reason: 'its actor kept crashing and was given up; revive it with supervisor.restart' };
    const actor = this.#mailbag.actor();
    if (actor === undefined) return createWait('restarting', RESTART_WAIT_MS);
    if (actor.isSuspended) return createWait('suspended', RESTART_WAIT_MS);
    return admissionOf(this.#memory, model, this.#deps.clock.nowMs());
  }

  /** Takes a permit, a credential and pacing tokens in one synchronous step (R3), or takes nothing. */
  claim(request: ClaimRequest): ClaimResult {
    let admission = this.admission(request.model);
    if (request.isForced && admission.kind === 'wait' && admission.canForceProbe) {
      this.#mailbag.tellNow({ type: 'probe.forced' });
      admission = this.admission(request.model);
    }
    const nowMs = this.#deps.clock.nowMs();
    const picked = pickCredential(this.#memory.credentials, request.avoid, nowMs);
    const credential = this.config.credentials.find((candidate) => candidate.id === picked?.id);
    // Whoever is ready has a credential to pick.
    if (admission.kind !== 'ready' || picked === undefined || credential === undefined)
      return { kind: 'refused', admission };
    // The breaker rations its probes itself.
    const isRefundable = request.isRepeat === true && this.#memory.breaker !== 'halfOpen';
    if (isRefundable && !this.#retryBuckets.affords(credential.id)) return { kind: 'unaffordable' };
    const paceWaitMs = this.#pacing.take(request.pace, nowMs);
    if (paceWaitMs > 0) return { kind: 'paced', waitMs: paceWaitMs };
    this.#keepPace();
    const permit: Permit = {
      id: ++this.#permitSequence,
      generation: this.#memory.generation,
      credentialId: credential.id,
      credentialVersion: picked.version,
      isProbe: this.#memory.breaker === 'halfOpen',
      limitMs: request.limitMs,
    };
    if (!this.#mailbag.tellNow({ type: 'permit.claimed', permit })) {
      this.#pacing.giveBack(request.pace);
      this.#keepPace();
      return { kind: 'refused', admission: createWait('restarting', RESTART_WAIT_MS) };
    }
    if (isRefundable) this.bookAttempt(credential.id, 'retry');
    return { kind: 'claimed', permit, credential, isRefundable };
  }

  /** Whether what was claimed a moment ago would be admitted still: same generation, and a credential that is neither held nor blocked. */
  isStillAdmitted(permit: Permit): boolean {
    const nowMs = this.#deps.clock.nowMs();
    const credential = this.#memory.credentials.find(({ id }) => id === permit.credentialId);
    // An actor that is down may not have heard yet what another attempt met.
    return (
      this.#mailbag.actor()?.isSuspended === false &&
      permit.generation === this.#memory.generation &&
      credential?.version === permit.credentialVersion &&
      !isBlocked(credential, nowMs) &&
      credential.heldUntilMs <= nowMs
    );
  }

  /** Tells the actor what became of an attempt. Every permit is reported exactly once. */
  report(permit: Permit, report: Report): void {
    this.#mailbag.tell({ type: 'attempt.reported', permit, report });
  }

  overdue(permit: Permit): void {
    this.#mailbag.tell({ type: 'attempt.overdue', permit });
  }

  checkFailed(message: string): void {
    this.#mailbag.tell({ type: 'check.failed', message });
  }

  configure(config: ProviderConfig): void {
    this.#pacing = this.#pacing.change(config.rateLimit, this.#deps.clock.nowMs());
    this.#keepPace();
    this.#mailbag.tell({ type: 'config.changed', config });
    this.#paceRelaxed();
  }

  resetCredentials(): void {
    this.#mailbag.tell({ type: 'credentials.reset' });
  }

  /** Takes back a claim of which nothing was sent. */
  undo({ permit, credential, isRefundable }: Extract<ClaimResult, { kind: 'claimed' }>, pace: PaceRequest): void {
    this.report(permit, { verdict: 'neutral', effect: 'none', model: '' });
    if (isRefundable) this.refundRepeat(credential.id);
    this.#pacing.giveBack(pace);
    this.#keepPace();
    this.#paceRelaxed();
  }

  /** Corrects the token pacing once the real usage is known. */
  correctPace(taken: PaceRequest, usedTokens: number): void {
    const unused = taken.tokens - usedTokens;
    this.#pacing.correct(unused);
    this.#keepPace();
    if (unused > 0) this.#paceRelaxed();
  }

  /** Whether another credential than those in `avoid` could be used at once. */
  hasOtherCredential(avoid: ReadonlySet<string>): boolean {
    const picked = pickCredential(this.#memory.credentials, avoid, this.#deps.clock.nowMs());
    return picked !== undefined && !avoid.has(picked.id);
  }

  /** Books an attempt with the credential's retry budget; false when a retry is not affordable now. */
  bookAttempt(credentialId: string, kind: 'first' | 'failover' | 'retry'): boolean {
    return this.#retryBuckets.book(credentialId, kind);
  }

  /** Gives back what a repeat had cost, because it was answered: only what fails uses up the budget. */
  refundRepeat(credentialId: string): void {
    this.#retryBuckets.refund(credentialId);
  }

  /** Slots the lane may use. */
  get concurrencyLimit(): number {
    return this.#memory.limit.limit;
  }

  state(): ProviderState {
    const memory = this.#memory;
    const nowMs = this.#deps.clock.nowMs();
    const counts = countWindow(rollWindow(memory.window, nowMs));
    const untilProbeMs = memory.openUntilMs - nowMs;
    return {
      breaker: {
        state: memory.breaker,
        failureCount: counts.failures,
        successCount: memory.breaker === 'halfOpen' ? memory.halfOpenSuccesses : counts.successes,
        lastFailureAt: memory.lastFailureAt,
        lastError: memory.lastError,
        openedAt: memory.openedAt,
        nextProbeAt:
          memory.breaker === 'open' ? Math.round(this.#deps.clock.wallMs() + Math.max(0, untilProbeMs)) : undefined,
      },
      gate: (nextCredential(memory.credentials, nowMs)?.waitMs ?? 0) > 0 ? 'held' : 'clear',
      credentials: memory.credentials.map((credential) => {
        const heldForMs = Math.max(0, Math.round(credential.heldUntilMs - nowMs));
        if (isBlocked(credential, nowMs))
          return { id: credential.id, state: credential.blocked === 'unauthorized' ? 'disabled' : 'exhausted' };
        return heldForMs > 0 ? { id: credential.id, state: 'held', heldForMs } : { id: credential.id, state: 'usable' };
      }),
      concurrency: { limit: memory.limit.limit, inFlight: memory.permits.size },
      quarantinedModels: Object.keys(memory.quarantine).filter((model) => (memory.quarantine[model] ?? 0) > nowMs),
      isDown: this.#isDown,
      isSuspended: this.#mailbag.actor()?.isSuspended ?? false,
    };
  }

  /** Calls `listener` in a microtask after anything changed that may matter to a waiting request. */
  onChange(listener: () => void): void {
    this.#changeListeners.add(listener);
  }

  /** Calls `listener` in a microtask when whoever was told to wait for pacing may not have to wait as long. */
  onPaceRelaxed(listener: () => void): void {
    this.#paceListeners.add(listener);
  }

  #keepPace(): void {
    if (this.#pacing.isLimited) this.#deps.keeper?.noteChange('soon');
  }

  #paceRelaxed(): void {
    queueMicrotask(() => {
      for (const listener of this.#paceListeners) listener();
    });
  }

  #changed(): void {
    if (this.#isChangePending) return;
    this.#isChangePending = true;
    queueMicrotask(() => {
      this.#isChangePending = false;
      for (const listener of this.#changeListeners) listener();
    });
  }
}
