/** What one request has learned on its way; forgotten when an async request starts another round. */
import type { Failure } from '../contract/adapter.ts';
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
  readonly #attemptsHere = new Map<string, number>();
  readonly #spent = new Set<string>();
  readonly #avoid = new Map<string, Set<string>>();
  #tooLong: RequestNeeds['tooLong'];
  #rounds = 0;
  attemptsInRound = 0;
  lastFailure: LastFailure | undefined;
  /** Whether the coming attempt has been paid for from a retry bucket already. */
  isPaid = false;

  needs(inputTokens: number): RequestNeeds {
    return { inputTokens, spent: this.#spent, tooLong: this.#tooLong };
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
    this.#attemptsHere.set(candidateKey(candidate), this.attemptsAt(candidate) + 1);
  }

  spend(candidate: Candidate): void {
    this.#spent.add(candidateKey(candidate));
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
    return ceilingMs / 2 + (random * ceilingMs) / 2;
  }
}
