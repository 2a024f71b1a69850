/**
 * The path of one request, top to bottom: route, queue, attempt, decide, and round again until it settles. Sync, async and
 * streamed requests take the same path; they differ in who waits. One loop holds every retry and every failover (R7), and
 * nothing in it rejects (R2).
 */
import type { Failure } from '../contract/adapter.ts';
import { SwitchgearError } from '../contract/errors.ts';
import type { ClaimResult } from '../actors/provider-control.ts';
import { decide, type Decision } from '../policy/decide.ts';
import { candidateKey, shortestWaitMs } from '../policy/rank.ts';
import type { Candidate } from '../policy/resolve.ts';
import type { RoutePlan } from '../policy/route.ts';
import { attempt, attemptLimitMs } from './attempt.ts';
import type { AttemptOutcome } from './attempt-outcome.ts';
import type { Slot } from './lane.ts';
import type { OpenRequest } from './open-request.ts';
import { Progress } from './progress.ts';
import { markQueued, markRunning } from './mark.ts';
import { remember } from './remember.ts';
import { reportAttempt } from './report-attempt.ts';
import type { Taken } from './request-queue.ts';
import { rankNow, route, windowOf } from './route.ts';
import type { Provider, Runtime } from './runtime.ts';
import { sleep } from './sleep.ts';
import { queueRetryMs } from './queue-retry.ts';
import { failureError, planError, release, respond, settle, stopError, supersede } from './settle.ts';

/** Output tokens assumed for pacing when the request sets no maximum; corrected by the real usage. */
const OUTPUT_TOKENS_ASSUMED = 512;

/** A real timer may fire a little early, and the gate must be clear when the request is back. */
const TIMER_SLACK_MS = 2;

/** An attempt that could not be recorded is not sent; the store is asked again after this. */
const UNRECORDED_PAUSE_MS = 1_000;

/** Carries a request from admission to settlement. Never rejects. */
export async function runRequest(runtime: Runtime, open: OpenRequest): Promise<void> {
  const { refusal } = open.init;
  if (refusal !== undefined) return settle(runtime, open, { kind: 'failed', error: refusal });
  const journey = new Journey(runtime, open);
  try {
    while (!(await journey.step())) {
      // One step is one attempt or one wait.
    }
  } catch (error) {
    if (open.stopReason !== undefined) return journey.stopped();
    const message = `the request path failed: ${error instanceof Error ? error.message : String(error)}; this is a bug in switchgear`;
    const failed = new SwitchgearError('provider-error', message, {
      requestId: open.requestId,
      attempts: [...open.attempts],
      cause: error,
    });
    await settle(runtime, open, { kind: 'failed', error: failed });
  }
}

class Journey {
  readonly #runtime: Runtime;
  readonly #open: OpenRequest;
  readonly #progress = new Progress();
  readonly #used = new Map<string, Provider>();
  /** Who gave the present permit: a provider of the same name that a reload has put in its place is another one. */
  #claimedFrom: Provider | undefined;
  /** Drawn once per attempt, so that the gate's hold and the request's own wait are the same length. */
  #chance = 0;

  constructor(runtime: Runtime, open: OpenRequest) {
    this.#runtime = runtime;
    this.#open = open;
  }

  /** True when the request is settled. */
  async step(): Promise<boolean> {
    const plan = await route(this.#runtime, this.#open, this.#progress);
    if (plan.kind === 'fail') return this.#unroutable(plan);
    // Whoever recovers first shall answer, so a candidate that was spent counts again before everybody is waited for.
    if (plan.kind === 'park' && this.#open.init.mode === 'async' && this.#progress.hasSpent) {
      return this.#pause(this.#progress.beginRest(this.#runtime.clock.random()));
    }
    // Who waits counts as waiting, also after its first attempt.
    await markQueued(this.#runtime, this.#open);
    const taken = await this.#take(plan);
    switch (taken.kind) {
      case 'reroute':
        return false;
      case 'stopped':
        await this.stopped();
        return true;
      case 'slot':
        return this.#useSlot(taken.slot, taken.candidate);
    }
  }

  async stopped(): Promise<void> {
    const runtime = this.#runtime;
    const open = this.#open;
    const reason = open.stopReason ?? 'cancelled';
    if (reason === 'superseded') return supersede(runtime, open);
    const isKept = open.init.isStored && runtime.store.isDurable;
    if (isKept && (reason === 'evicted' || reason === 'shutdown')) return release(runtime, open, reason);
    const error = stopError(open, reason, this.#progress.lastFailure, queueRetryMs(runtime));
    await settle(runtime, open, { kind: 'failed', error });
  }

  #take(plan: Exclude<RoutePlan, { kind: 'fail' }>): Promise<Taken> {
    const { requestId, init, signal } = this.#open;
    if (plan.kind === 'enter' && plan.isForced) return Promise.resolve(this.#takeForced(plan.candidate));
    const candidates = plan.kind === 'enter' ? [plan.candidate] : plan.candidates;
    return this.#runtime.queue.take({
      requestId,
      key: init.key,
      candidates,
      patience: plan.kind === 'enter' ? 'none' : init.mode === 'async' ? 'recovery' : 'brief',
      signal,
      claim: (candidate) => this.#claim(candidate, false),
    });
  }

  /** A forced probe goes around the lane, which stands still while the breaker is open. */
  #takeForced(candidate: Candidate): Taken {
    const claimed = this.#claim(candidate, true);
    if (claimed.kind !== 'claimed') return { kind: 'reroute' };
    return { kind: 'slot', candidate, slot: { provider: candidate.provider, claimed, release: () => undefined } };
  }

  /** R3: one synchronous step. */
  #claim(candidate: Candidate, isForced: boolean): ClaimResult {
    // A blocked event loop lets time pass before the deadline's timer fires.
    if (this.#open.remainingMs <= 0) this.#open.stop('deadline');
    if (this.#open.signal.aborted)
      return { kind: 'refused', admission: { kind: 'never', reason: 'the request was stopped' } };
    if (!this.#runtime.providers.has(candidate.provider))
      return { kind: 'refused', admission: { kind: 'never', reason: 'removed from the config' } };
    const provider = this.#provider(candidate);
    const claimed = provider.control.claim({
      model: candidate.model,
      limitMs: attemptLimitMs(this.#open, {
        adapter: provider.adapter,
        config: provider.control.config,
        model: candidate.model,
      }),
      isForced,
      avoid: this.#progress.avoided(candidate.provider),
      pace: { tokens: this.#paceTokens() },
      isRepeat: this.#progress.isRepeat(candidate),
    });
    if (claimed.kind === 'claimed') this.#claimedFrom = provider;
    // Another round here is more than the budget allows: somebody else, or a longer rest.
    if (claimed.kind === 'unaffordable') this.#progress.postpone(candidate);
    return claimed;
  }

  async #useSlot(slot: Slot, candidate: Candidate): Promise<boolean> {
    const isRecorded = await markRunning(this.#runtime, this.#open, target(candidate));
    const provider = this.#confirm(slot, candidate, isRecorded);
    if (provider === undefined) return isRecorded ? false : this.#pause(UNRECORDED_PAUSE_MS);
    const outcome = await this.#tryOnce(slot, candidate, provider);
    if (outcome.kind === 'failed') return this.#afterFailure(candidate, slot.claimed.credential.id, outcome);
    const { clock } = this.#runtime;
    const response = respond(this.#open, candidate, outcome, { nowMs: clock.nowMs(), wallMs: clock.wallMs() });
    await settle(this.#runtime, this.#open, {
      kind: 'succeeded',
      response,
      reasoning: outcome.kind === 'answered' ? outcome.reasoning : '',
    });
    return true;
  }

  /** A slow store leaves time between claim and sending; what a 429, a failure or a reload forbade meanwhile is not sent. */
  #confirm(slot: Slot, candidate: Candidate, isRecorded: boolean): Provider | undefined {
    const { claimed } = slot;
    const control = this.#claimedFrom?.control ?? this.#provider(candidate).control;
    const provider = this.#runtime.providers.get(candidate.provider);
    if (isRecorded && provider?.control === control && control.isStillAdmitted(claimed.permit)) {
      this.#book(control, candidate, claimed.credential.id);
      return provider;
    }
    control.undo(claimed, { tokens: this.#paceTokens() });
    slot.release();
    return undefined;
  }

  /** The first attempt of a request earns, going over to another target is charged; a retry and a repeat are paid already. */
  #book(control: Provider['control'], candidate: Candidate, credentialId: string): void {
    if (this.#progress.isPaidFor(candidate) || this.#progress.isRepeat(candidate)) return;
    control.bookAttempt(credentialId, this.#open.attempts.length === 0 ? 'first' : 'failover');
  }

  /** One attempt with its slot; reports it to breaker, ledger and health whatever came of it. */
  async #tryOnce(slot: Slot, candidate: Candidate, provider: Provider): Promise<AttemptOutcome> {
    const { claimed } = slot;
    let outcome: AttemptOutcome | undefined;
    try {
      outcome = await this.#attempt(slot, candidate, provider);
    } finally {
      this.#chance = this.#runtime.clock.random();
      reportAttempt(provider.control, {
        claimed,
        model: candidate.model,
        outcome,
        paceTokens: this.#paceTokens(),
        inputTokens: this.#open.inputTokens,
        attemptsBefore: this.#progress.attemptsAt(candidate) - 1,
        random: this.#chance,
      });
      slot.release();
    }
    await remember(this.#runtime, this.#open, { candidate, outcome, credentialId: claimed.credential.id });
    return outcome;
  }

  async #attempt(slot: Slot, candidate: Candidate, { control, adapter }: Provider): Promise<AttemptOutcome> {
    const runtime = this.#runtime;
    const open = this.#open;
    const { permit, credential } = slot.claimed;
    this.#progress.countAttempt(candidate);
    open.asked = target(candidate);
    runtime.announce('attempt.started', {
      requestId: open.requestId,
      ...target(candidate),
      attempt: open.attempts.length + 1,
      isProbe: permit.isProbe,
    });
    return attempt({
      open,
      adapter,
      config: control.config,
      model: candidate.model,
      credential,
      maxTokensDefault: control.config.maxTokens ?? runtime.config().defaults.maxTokens,
      isLast: () => !this.#hasOther(candidate),
      // A submitted request has a day, and can ask again: it does not sit through one attempt for longer than a caller would.
      patienceMs: open.init.mode === 'async' ? runtime.config().service.timeoutMs : undefined,
      clock: runtime.clock,
      overdue: () => {
        control.overdue(permit);
        // Those who come after it, a probe first of all, do not wait for what may never end.
        slot.release();
      },
    });
  }

  /** Whether another candidate is ready at this moment. */
  #hasOther(candidate: Candidate): boolean {
    try {
      return rankNow(this.#runtime, this.#open, this.#progress).some(
        (other) => other.state === 'ready' && candidateKey(other.candidate) !== candidateKey(candidate),
      );
    } catch {
      // An adapter of a user may throw when it is asked what it supports, and a timer has nobody to tell.
      return false;
    }
  }

  async #afterFailure(
    candidate: Candidate,
    credentialId: string,
    outcome: Extract<AttemptOutcome, { kind: 'failed' }>,
  ): Promise<boolean> {
    const { failure, partial } = outcome;
    const isStopped = this.#open.stopReason !== undefined;
    this.#progress.noteFailure({ candidate, credentialId, failure, partial }, isStopped);
    if (isStopped) {
      await this.stopped();
      return true;
    }
    const decision = this.#decide(candidate, failure, outcome.partial !== undefined);
    return this.#follow(decision, candidate);
  }

  #decide(candidate: Candidate, failure: Failure, hasContent: boolean): Decision {
    const { control } = this.#provider(candidate);
    const { sink, delivery } = this.#open.init;
    const avoided = this.#progress.avoided(candidate.provider);
    return decide({
      failure,
      attemptsHere: this.#progress.attemptsAt(candidate),
      attemptsTotal: this.#progress.attemptsInRound,
      retry: control.config.retry,
      hasOtherCredential: control.hasOtherCredential(avoided),
      hasOtherCandidate: this.#hasOther(candidate),
      canRest: this.#open.init.mode === 'async',
      hasDelivered: hasContent && sink !== undefined && sink.hasDelivered,
      delivery,
      remainingMs: this.#open.remainingMs,
      random: this.#chance,
    });
  }

  /** True when the request is settled. */
  async #follow(decision: Decision, candidate: Candidate): Promise<boolean> {
    switch (decision.kind) {
      case 'retry':
        return this.#retry(decision, candidate);
      case 'next':
        if (decision.isTooLong) this.#noteTooLong(candidate);
        this.#progress.spend(candidate);
        await this.#startOver();
        return false;
      case 'give-up':
        return this.#giveUp(decision.retryAfterMs);
    }
  }

  async #retry(decision: Extract<Decision, { kind: 'retry' }>, candidate: Candidate): Promise<boolean> {
    const { control } = this.#provider(candidate);
    const credentialId = this.#progress.lastFailure?.credentialId ?? '';
    if (!decision.isFree && !control.bookAttempt(credentialId, 'retry')) {
      this.#progress.spend(candidate);
      await this.#startOver();
      return false;
    }
    // Another credential is another target: it is charged for it when it is claimed.
    if (!decision.isFree) this.#progress.notePaid(candidate);
    await this.#startOver();
    if (decision.waitMs === 0) return this.#pause(0);
    const ranked = rankNow(this.#runtime, this.#open, this.#progress);
    return this.#pause(shortestWaitMs(ranked, candidate, decision.waitMs) + TIMER_SLACK_MS);
  }

  /** The caller of a `restart` stream is told to discard what it has. */
  async #startOver(): Promise<void> {
    const { sink, delivery } = this.#open.init;
    if (sink === undefined || delivery !== 'restart' || !sink.hasDelivered) return;
    sink.hasDelivered = false;
    await sink.push({ type: 'restart' }, this.#open.signal);
  }

  #noteTooLong(candidate: Candidate): void {
    const index = this.#open.init.candidates.findIndex((known) => candidateKey(known) === candidateKey(candidate));
    this.#progress.noteTooLong(index, windowOf(this.#runtime.catalogue(), candidate));
  }

  async #unroutable(plan: Extract<RoutePlan, { kind: 'fail' }>): Promise<boolean> {
    const last = this.#progress.lastFailure;
    if (last !== undefined && plan.retryAfterMs === undefined) return this.#giveUp(undefined);
    await settle(this.#runtime, this.#open, { kind: 'failed', error: planError(this.#open, plan) });
    return true;
  }

  /** The end of a round: an async request whose provider may recover rests and starts over, any other one fails. */
  async #giveUp(retryAfterMs: number | undefined): Promise<boolean> {
    const last = this.#progress.lastFailure;
    if (last === undefined) throw new TypeError('expected a failed attempt before giving up');
    if (this.#open.init.mode === 'async' && this.#progress.mayMend) {
      // What the last provider asked for keeps its own gate; another one may recover before.
      return this.#pause(this.#progress.beginRest(this.#runtime.clock.random()));
    }
    const error = failureError(this.#open, last, retryAfterMs);
    await settle(this.#runtime, this.#open, { kind: 'failed', error });
    return true;
  }

  /** Waits outside the queue and holds no slot. False: go on; the request is stopped by the next step if it has to be. */
  async #pause(waitMs: number): Promise<false> {
    await markQueued(this.#runtime, this.#open);
    await sleep(this.#runtime.clock, waitMs, this.#open.signal);
    return false;
  }

  #paceTokens(): number {
    const { inputTokens, init } = this.#open;
    const { request } = init;
    return inputTokens + (request.kind === 'completion' ? (request.maxTokens ?? OUTPUT_TOKENS_ASSUMED) : 0);
  }

  /** A provider that a reload removed stays known to the attempts it began. */
  #provider(candidate: Candidate): Provider {
    const provider = this.#runtime.providers.get(candidate.provider) ?? this.#used.get(candidate.provider);
    if (provider === undefined) throw new TypeError(`expected ${candidate.provider} to be configured`);
    this.#used.set(candidate.provider, provider);
    return provider;
  }
}

function target(candidate: Candidate): { readonly provider: string; readonly model: string } {
  return { provider: candidate.provider, model: candidate.model };
}
