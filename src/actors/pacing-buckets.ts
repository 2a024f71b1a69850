/** The request and token buckets of one provider: taken together or not at all. */
import type { RateLimitConfig } from '../contract/config.ts';
import { carryPace, correctPace, type Pace, type PaceLimit, takePace } from '../policy/pace.ts';

/** What one attempt takes: one request and so many tokens. */
export interface PaceRequest {
  readonly tokens: number;
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
