/** The request and token buckets of one provider: taken together or not at all. */
import type { RateLimitConfig } from '../contract/config.ts';
import { carryPace, correctPace, type Pace, type PaceLimit, takePace } from '../policy/pace.ts';

/** Less than this is over before a new process sends anything. */
const DEBT_MIN_MS = 1_000;
/** No provider counts by the minute for longer; a debt that claims to last longer is not one. */
const DEBT_MAX_MS = 3_600_000;

/** What one attempt takes: one request and so many tokens. */
export interface PaceRequest {
  readonly tokens: number;
}

/** What is owed to one limit: as long as until `fullAtMs`, monotonic, at so many a minute. */
export interface PaceDebt extends Pace, PaceLimit {}

export interface PaceDebts {
  readonly requests?: PaceDebt;
  readonly tokens?: PaceDebt;
}

export class PacingBuckets {
  readonly #requestLimit: PaceLimit | undefined;
  readonly #tokenLimit: PaceLimit | undefined;
  #requests: Pace = { fullAtMs: 0 };
  #tokens: Pace = { fullAtMs: 0 };

  constructor(limits: RateLimitConfig) {
    this.#requestLimit = limits.requestsPerMinute === undefined ? undefined : { perMinute: limits.requestsPerMinute };
    this.#tokenLimit = limits.tokensPerMinute === undefined ? undefined : { perMinute: limits.tokensPerMinute };
  }

  get isLimited(): boolean {
    return (this.#requestLimit ?? this.#tokenLimit) !== undefined;
  }

  /** What is owed for more than a second yet. */
  debts(nowMs: number): PaceDebts {
    const requests = debt(this.#requests, this.#requestLimit, nowMs);
    const tokens = debt(this.#tokens, this.#tokenLimit, nowMs);
    return { ...(requests !== undefined && { requests }), ...(tokens !== undefined && { tokens }) };
  }

  /** Begins with what another process owed, under its limits; at most an hour's worth. */
  owe({ requests, tokens }: PaceDebts, nowMs: number): void {
    if (requests !== undefined) this.#requests = carryDebt(requests, this.#requestLimit, nowMs);
    if (tokens !== undefined) this.#tokens = carryDebt(tokens, this.#tokenLimit, nowMs);
  }

  /** Buckets under other limits that owe what these owe, or every change of a rate would grant a fresh burst. */
  change(limits: RateLimitConfig, nowMs: number): PacingBuckets {
    const changed = new PacingBuckets(limits);
    changed.#requests = carry(this.#requests, this.#requestLimit, changed.#requestLimit, nowMs);
    changed.#tokens = carry(this.#tokens, this.#tokenLimit, changed.#tokenLimit, nowMs);
    return changed;
  }

  /** Takes both and returns 0, or takes nothing and returns how long to wait, in ms. */
  take({ tokens }: PaceRequest, nowMs: number): number {
    const requests = this.#requestLimit && takePace(this.#requests, this.#requestLimit, 1, nowMs);
    const held = this.#tokenLimit && takePace(this.#tokens, this.#tokenLimit, tokens, nowMs);
    const waitMs = Math.max(
      requests?.isAllowed === false ? requests.waitMs : 0,
      held?.isAllowed === false ? held.waitMs : 0,
    );
    if (waitMs > 0) return waitMs;
    if (requests?.isAllowed === true) this.#requests = requests.pace;
    if (held?.isAllowed === true) this.#tokens = held.pace;
    return 0;
  }

  /** Gives back what an attempt took that is not made. */
  giveBack({ tokens }: PaceRequest): void {
    if (this.#requestLimit !== undefined) this.#requests = correctPace(this.#requests, this.#requestLimit, 1);
    this.correct(tokens);
  }

  /** Gives back `unused` tokens; charges them when negative. */
  correct(unused: number): void {
    if (this.#tokenLimit !== undefined) this.#tokens = correctPace(this.#tokens, this.#tokenLimit, unused);
  }
}

function carry(pace: Pace, before: PaceLimit | undefined, after: PaceLimit | undefined, nowMs: number): Pace {
  return before === undefined || after === undefined ? { fullAtMs: nowMs } : carryPace(pace, before, after, nowMs);
}

function debt(pace: Pace, limit: PaceLimit | undefined, nowMs: number): PaceDebt | undefined {
  return limit === undefined || pace.fullAtMs - nowMs <= DEBT_MIN_MS ? undefined : { ...pace, ...limit };
}

function carryDebt(owed: PaceDebt, limit: PaceLimit | undefined, nowMs: number): Pace {
  const { fullAtMs } = carry(owed, owed, limit, nowMs);
  return { fullAtMs: Math.min(fullAtMs, nowMs + DEBT_MAX_MS) };
}
