/**
 * The retry budgets of one provider, a bucket per credential. The first attempt of a request earns a share of a retry, going
 * over to another target is charged and never refused, and whatever asks a target again has to pay.
 */
import type { Clock } from '../contract/clock.ts';
import {
  chargeFailover,
  createRetryBucket,
  creditFirstAttempt,
  payForRetry,
  type RetryBucket,
  returnRetry,
} from '../policy/retry.ts';

export class RetryBuckets {
  readonly #clock: Clock;
  readonly #buckets = new Map<string, RetryBucket>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Books an attempt; false when a retry is not affordable now. */
  book(credentialId: string, kind: 'first' | 'failover' | 'retry'): boolean {
    const nowMs = this.#clock.nowMs();
    const bucket = this.#of(credentialId);
    switch (kind) {
      case 'first':
        this.#buckets.set(credentialId, creditFirstAttempt(bucket, nowMs));
        return true;
      case 'failover':
        this.#buckets.set(credentialId, chargeFailover(bucket, nowMs));
        return true;
      case 'retry': {
        const paid = payForRetry(bucket, nowMs);
        this.#buckets.set(credentialId, paid.bucket);
        return paid.isPaid;
      }
    }
  }

  /** Whether a retry is affordable now. */
  affords(credentialId: string): boolean {
    return payForRetry(this.#of(credentialId), this.#clock.nowMs()).isPaid;
  }

  /** Gives back the price of one retry. */
  refund(credentialId: string): void {
    this.#buckets.set(credentialId, returnRetry(this.#of(credentialId), this.#clock.nowMs()));
  }

  #of(credentialId: string): RetryBucket {
    return this.#buckets.get(credentialId) ?? createRetryBucket(this.#clock.nowMs());
  }
}
