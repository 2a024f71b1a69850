/**
 * What follows from one try: pure. The schedule is that of the Standard Webhooks specification as far as results are readable
 * by default and a little longer; each wait is drawn from the whole of its range (full jitter), because what failed together
 * would otherwise come back together.
 */

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** The longest wait before the second, third, … try; when they are used up, the notice is given up. */
export const RETRY_WAITS_MAX_MS: readonly number[] = [
  5 * SECOND_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  5 * HOUR_MS,
  10 * HOUR_MS,
  14 * HOUR_MS,
];
/** A Retry-After that asks for more than a day is taken for a mistake. */
export const RETRY_AFTER_MAX_MS = 24 * HOUR_MS;

/** How one try ended. */
export type TryOutcome =
  | { readonly kind: 'answered'; readonly status: number; readonly retryAfterMs: number | undefined }
  | { readonly kind: 'unanswered'; readonly reason: string }
  /** Given up by ourselves before it was answered. */
  | { readonly kind: 'abandoned' };

export type NextStep =
  | { readonly kind: 'done'; readonly status: number }
  /** `holdMs`: for so long the receiver wants to be sent nothing. */
  | { readonly kind: 'retry'; readonly waitMs: number; readonly holdMs: number; readonly reason: string }
  | { readonly kind: 'give-up'; readonly reason: string };

/** Decides after a try. `tries` counts those before it, `random` is in [0, 1). */
export function decideNext(
  outcome: Exclude<TryOutcome, { kind: 'abandoned' }>,
  tries: number,
  random: number,
): NextStep {
  if (outcome.kind === 'answered' && outcome.status >= 200 && outcome.status < 300)
    return { kind: 'done', status: outcome.status };
  const reason = outcome.kind === 'answered' ? describeStatus(outcome.status) : outcome.reason;
  const waitMaxMs = RETRY_WAITS_MAX_MS[tries];
  if (waitMaxMs === undefined || (outcome.kind === 'answered' && outcome.status === 410))
    return { kind: 'give-up', reason };
  const holdMs = outcome.kind === 'answered' ? readHold(outcome.status, outcome.retryAfterMs) : 0;
  return { kind: 'retry', waitMs: Math.max(holdMs, Math.round(waitMaxMs * random)), holdMs, reason };
}

/** Only who says "too many" or "not now" is believed when to come back. */
function readHold(status: number, retryAfterMs: number | undefined): number {
  if (status !== 429 && status !== 503) return 0;
  return Math.min(RETRY_AFTER_MAX_MS, retryAfterMs ?? 0);
}

function describeStatus(status: number): string {
  if (status === 410) return 'the receiver answered 410: it wants no more notices';
  if (status >= 300 && status < 400)
    return `the receiver answered with a redirect (${status}), which is never followed`;
  return `the receiver answered ${status}`;
}
