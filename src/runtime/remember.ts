/**
 * What is kept of one attempt, whatever came of it: its report, its ledger entry, what it says of the provider's health, and
 * the event for observers.
 */
import { FAILURE_POLICY } from '../contract/failures.ts';
import type { AttemptReport, Cost, Usage } from '../contract/response.ts';
import { costOf } from '../policy/price.ts';
import type { Candidate } from '../policy/resolve.ts';
import type { AttemptOutcome } from './attempt-outcome.ts';
import { askStore, STORE_WAIT_MS } from './ask-store.ts';
import { estimatePartialUsage } from './estimate.ts';
import type { OpenRequest } from './open-request.ts';
import type { Runtime } from './runtime.ts';

export interface EndedAttempt {
  readonly candidate: Candidate;
  readonly credentialId: string;
  readonly outcome: AttemptOutcome;
}

/** Adds an attempt to its request and to everybody's books. Never rejects. */
export async function remember(runtime: Runtime, open: OpenRequest, ended: EndedAttempt): Promise<void> {
  const { candidate, outcome } = ended;
  const { clock, store } = runtime;
  const usage = usageOf(open, outcome);
  const price = runtime.catalogue().price(candidate.provider, candidate.model, clock.wallMs());
  const cost = usage === undefined ? undefined : costOf(usage, price);
  const report = reportOf(ended, cost);
  open.attemptingMs += outcome.durationMs;
  open.attempts.push(report);
  if (usage !== undefined) book(runtime, open, { report, usage, isEstimate: outcome.kind === 'failed' });
  observe(runtime, ended, report);
  announceFailure(runtime, open, ended, report);
  if (!open.init.isStored) return;
  const number = open.attempts.length;
  const isRecorded = await bookkeep(runtime, open, 'addAttempt', () => store.addAttempt(open.claim, number, report));
  if (!isRecorded) open.isBehind = true;
}

/** Bookkeeping that fails, or takes longer than the request has, is told, and the request goes on. False: it failed. */
export async function bookkeep(
  runtime: Runtime,
  open: OpenRequest,
  operation: string,
  write: () => Promise<unknown>,
): Promise<boolean> {
  try {
    await askStore(runtime.clock, write(), STORE_WAIT_MS, open.signal);
    return true;
  } catch (error) {
    // Whoever is stopped does not wait for the store, which has not failed because of it.
    if (!open.signal.aborted)
      runtime.announce('store.failed', { requestId: open.requestId, operation, message: String(error) });
    return false;
  }
}

/** Undefined when nothing is known to have been used. */
function usageOf(open: OpenRequest, outcome: AttemptOutcome): Usage | undefined {
  // An embedding writes nothing, whatever the model's price for output is.
  if (outcome.kind === 'embedded') return { outputTokens: 0, ...outcome.reply.usage };
  if (outcome.kind === 'answered') return outcome.reply.usage;
  return outcome.written && estimatePartialUsage(outcome.written, open.inputTokens);
}

function reportOf({ candidate, outcome }: EndedAttempt, cost: Cost | undefined): AttemptReport {
  const common = {
    provider: candidate.provider,
    model: candidate.model,
    durationMs: Math.round(outcome.durationMs),
    ...(cost !== undefined && { cost }),
  };
  if (outcome.kind !== 'failed') return { ...common, outcome: 'answered' };
  const meaning = FAILURE_POLICY[outcome.failure.kind];
  const { message, isMaybeBilled } = outcome.failure;
  return {
    ...common,
    outcome: meaning.outcome,
    code: meaning.code,
    message,
    ...(isMaybeBilled === true && { isMaybeBilled }),
  };
}

function book(
  { clock, costs }: Runtime,
  open: OpenRequest,
  {
    report,
    usage,
    isEstimate,
  }: { readonly report: AttemptReport; readonly usage: Usage; readonly isEstimate: boolean },
): void {
  costs.record({
    at: clock.wallMs(),
    requestId: open.requestId,
    attempt: open.attempts.length,
    provider: report.provider,
    model: report.model,
    tenant: open.init.tenant,
    tags: open.init.tags,
    outcome: report.outcome,
    usage,
    costNanos: report.cost?.usdNanos,
    isEstimate,
  });
}

/** What blames the provider counts for its health; what blames the caller does not. */
function observe({ health }: Runtime, { candidate, outcome }: EndedAttempt, report: AttemptReport): void {
  const meaning = outcome.kind === 'failed' ? FAILURE_POLICY[outcome.failure.kind] : undefined;
  if (meaning?.outcome === 'abandoned') return;
  const isBlamed = meaning !== undefined && (meaning.breaker === 'failure' || meaning.effect !== 'none');
  health.observe({
    provider: candidate.provider,
    isSuccess: meaning === undefined,
    latencyMs: outcome.durationMs,
    ...(isBlamed && { error: { code: meaning.code, message: report.message ?? meaning.code } }),
  });
}

function announceFailure(
  { announce }: Runtime,
  open: OpenRequest,
  { credentialId, outcome }: EndedAttempt,
  report: AttemptReport,
): void {
  if (outcome.kind !== 'failed') return;
  const { kind, status, retryAfterMs } = outcome.failure;
  announce('attempt.failed', {
    ...report,
    requestId: open.requestId,
    attempt: open.attempts.length,
    kind,
    credential: credentialId,
    ...(status !== undefined && { status }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}
