/** What one request has learned on its way; most of it is forgotten when an async request starts another round. */
import type { Failure } from '../contract/adapter.ts';
import { FAILURE_POLICY } from '../contract/failures.ts';
import type { Candidate } from '../policy/resolve.ts';
import type { RequestNeeds } from '../policy/rank.ts';
import { candidateKey } from '../policy/rank.ts';

const REST_BASE_MS = 5_000;
const REST_CAP_MS = 60_000;

export interface LastFailure {
  readonly candidate: Candidate;
  readonly credentialId: string;
  readonly failure: Failure;
  readonly partial: { readonly text: string } | undefined;
}

export class Progress {
  readonly #asked = new Set<string>();
  readonly #attemptsHere = new Map<string, number>();
  readonly #spent = new Set<string>();
  readonly #avoid = new Map<string, Set<string>>();
  #tooLong: RequestNeeds['tooLong'];
  /** The target whose coming attempt has been paid for from a retry bucket already. */
  #paidFor: string | undefined;
  #rounds = 0;
  attemptsInRound = 0;
  #lastFailure: LastFailure | undefined;
  /** Whether anything failed in this round that time may mend. */
  #hasTransient = false;

  /** The input is counted when somebody asks how long it is. */
  needs(of: Pick<RequestNeeds, 'inputTokens'>): RequestNeeds {
    return {
      get inputTokens() {
        return of.inputTokens;
      },
      spent: this.#spent,
      tooLong: this.#tooLong,
    };
  }

  get lastFailure(): LastFailure | undefined {
    return this.#lastFailure;
  }

  /** What a stopped attempt says is our own doing; the failure before it says more. */
  noteFailure(failed: LastFailure, isStopped: boolean): void {
    const before = isStopped ? this.#lastFailure : undefined;
    this.#lastFailure = before === undefined ? failed : { ...before, partial: failed.partial };
    if (isTransient(failed.failure)) this.#hasTransient = true;
    if (isCredentialAtFault(failed.failure)) this.avoided(failed.candidate.provider).add(failed.credentialId);
  }

  /** Whether another round may end better; not after an answer that is the request's own fault. */
  get mayMend(): boolean {
    const last = this.#lastFailure?.failure;
    if (last === undefined) return false;
    return isTransient(last) || (this.#hasTransient && FAILURE_POLICY[last.kind].nextCandidate !== 'no');
  }

  /** Credentials of `provider` that failed this request. */
  avoided(provider: string): Set<string> {
    const known = this.#avoid.get(provider);
    if (known !== undefined) return known;
    const fresh = new Set<string>();
    this.#avoid.set(provider, fresh);
    return fresh;
  }

  attemptsAt(candidate: Candidate): number {
    return this.#attemptsHere.get(candidateKey(candidate)) ?? 0;
  }

  countAttempt(candidate: Candidate): void {
    this.attemptsInRound += 1;
    this.#paidFor = undefined;
    this.#asked.add(candidateKey(candidate));
    this.#attemptsHere.set(candidateKey(candidate), this.attemptsAt(candidate) + 1);
  }

  /** Whether the next attempt at `candidate` begins another round there. */
  isRepeat(candidate: Candidate): boolean {
    return this.#asked.has(candidateKey(candidate)) && this.attemptsAt(candidate) === 0;
  }

  notePaid(candidate: Candidate): void {
    this.#paidFor = candidateKey(candidate);
  }

  isPaidFor(candidate: Candidate): boolean {
    return this.#paidFor === candidateKey(candidate);
  }

  spend(candidate: Candidate): void {
    this.#spent.add(candidateKey(candidate));
  }

  /** Not now: its retry budget is used up, which time mends. */
  postpone(candidate: Candidate): void {
    this.spend(candidate);
    this.#hasTransient = true;
  }

  get hasSpent(): boolean {
    return this.#spent.size > 0;
  }

  noteTooLong(index: number, window: number | undefined): void {
    const widest = Math.max(window ?? 0, this.#tooLong?.window ?? 0);
    this.#tooLong = { index, window: widest > 0 ? widest : undefined };
  }

  /** How long to rest before the next round: equal jitter over 5 s doubling to 60 s. */
  beginRest(random: number): number {
    const ceilingMs = Math.min(REST_CAP_MS, REST_BASE_MS * 2 ** Math.min(this.#rounds, 10));
    this.#rounds += 1;
    this.#attemptsHere.clear();
    this.#spent.clear();
    this.#avoid.clear();
    this.attemptsInRound = 0;
    this.#hasTransient = false;
    return ceilingMs / 2 + (random * ceilingMs) / 2;
  }
}

/** Throttled, exhausted or refused: another credential may do better. */
function isCredentialAtFault(failure: Failure): boolean {
  const { effect } = FAILURE_POLICY[failure.kind];
  return effect === 'hold-gate' || effect === 'exhaust-credential' || effect === 'count-unauthorized';
}

/** Whether waiting may help: what breakers count, throttling, and a quota whose reset is known. */
function isTransient(failure: Failure): boolean {
  const meaning = FAILURE_POLICY[failure.kind];
  const isResetKnown = meaning.effect === 'exhaust-credential' && failure.retryAfterMs !== undefined;
  return meaning.breaker === 'failure' || meaning.retryHere === 'gate' || isResetKnown;
}
