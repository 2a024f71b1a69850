/** Tells whoever gave a permit what became of the attempt, and gives back what it did not use of the pacing tokens. */
import type { ProviderControl } from '../actors/provider-control.ts';
import { FAILURE_POLICY } from '../contract/failures.ts';
import { gateHoldMs } from '../policy/retry.ts';
import type { AttemptOutcome } from './attempt-outcome.ts';
import { tokensUsed } from './estimate.ts';
import type { Claimed } from './lane.ts';

export interface EndedClaim {
  readonly claimed: Claimed;
  readonly model: string;
  /** Undefined: it ended in a way that says nothing. */
  readonly outcome: AttemptOutcome | undefined;
  /** Pacing tokens that were taken for it. */
  readonly paceTokens: number;
  readonly inputTokens: number;
  /** Attempts at this target in this round before this one. */
  readonly attemptsBefore: number;
  readonly random: number;
}

/** Every permit is reported exactly once (R5). */
export function reportAttempt(control: ProviderControl, ended: EndedClaim): void {
  const { claimed, model, outcome, paceTokens } = ended;
  const { permit, credential, isRefundable } = claimed;
  if (outcome === undefined) {
    control.report(permit, { verdict: 'neutral', effect: 'none', model });
    return;
  }
  if (outcome.kind !== 'failed') {
    control.report(permit, { verdict: 'success', effect: 'none', model });
    if (isRefundable) control.refundRepeat(credential.id);
    const { inputTokens, outputTokens } = outcome.reply.usage;
    if (inputTokens !== undefined) control.correctPace({ tokens: paceTokens }, inputTokens + (outputTokens ?? 0));
    return;
  }
  const { failure, written } = outcome;
  const { breaker, effect, outcome: kind } = FAILURE_POLICY[failure.kind];
  const holdMs = gateHoldMs(failure, ended.attemptsBefore, ended.random);
  control.report(permit, {
    verdict: breaker,
    effect,
    model,
    message: failure.message,
    ...(holdMs !== undefined && { holdMs }),
    ...(failure.retryAfterMs !== undefined && { exhaustedMs: failure.retryAfterMs }),
  });
  // What a stopped attempt kept the provider from writing is there for others.
  if (kind === 'abandoned') control.correctPace({ tokens: paceTokens }, tokensUsed(written, ended.inputTokens));
}
