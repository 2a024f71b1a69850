/** The end of a request: the response or error is written once, the bill is booked, and whoever waits is woken. */
import { FAILURE_POLICY } from '../contract/failures.ts';
import { type ErrorCode, SwitchgearError } from '../contract/errors.ts';
import type { Settlement } from '../contract/records.ts';
import type { AnyResponse, CompletionResponse, Latency } from '../contract/response.ts';
import type { Candidate } from '../policy/resolve.ts';
import type { RoutePlan } from '../policy/route.ts';
import type { AttemptOutcome } from './attempt-outcome.ts';
import { insist } from './insist.ts';
import { recordMissing } from './mark.ts';
import type { OpenRequest, StopReason } from './open-request.ts';
import type { PartSink } from './part-sink.ts';
import type { LastFailure } from './progress.ts';
import type { Runtime } from './runtime.ts';

export type Ending =
  | { readonly kind: 'succeeded'; readonly response: AnyResponse; readonly reasoning: string }
  | { readonly kind: 'failed'; readonly error: SwitchgearError };

/** Writes how a request ended, then wakes the waiters. The first ending wins (R1). Never rejects. */
export async function settle(runtime: Runtime, open: OpenRequest, ending: Ending): Promise<void> {
  const settlement = settlementOf(ending);
  if (!open.settle(settlement, ending.kind === 'failed' ? ending.error : undefined)) return;
  const written = open.init.isStored ? await write(runtime, open, settlement) : 'written';
  if (written === 'written') finish(runtime, open, ending);
  else if (written === 'superseded') await supersede(runtime, open);
  else disown(runtime, open);
}

/** Everybody is told how it ended. */
function finish(runtime: Runtime, open: OpenRequest, ending: Ending): void {
  leave(runtime, open);
  endStream(open, ending);
  open.wake();
  if (open.isDisowned) return;
  announceSettled(runtime, open, settlementOf(ending));
  if (open.init.isStored) runtime.wakeWebhooks();
  if (open.init.batch !== undefined) runtime.noteLineEnded(open.init.batch);
}

/** Out of memory: somebody else may come in. */
function leave(runtime: Runtime, open: OpenRequest): void {
  runtime.open.remove(open);
  runtime.departures.note(runtime.clock.nowMs());
  runtime.lookouts.notify(open.requestId);
  runtime.feed();
}

/** While it is being written the request takes up room, and is `running` to whoever asks. */
async function write(
  runtime: Runtime,
  open: OpenRequest,
  settlement: Settlement,
): Promise<'written' | 'superseded' | 'unwritten'> {
  const stored = withoutWireBody(settlement);
  const settledAt = runtime.clock.wallMs();
  const written = await insistFor(runtime, open, 'settle', () =>
    recordMissing(runtime, open).then(() => runtime.store.settle(open.claim, stored, settledAt)),
  );
  if (written === undefined) return 'unwritten';
  return written.value ? 'written' : 'superseded';
}

/** Writes to the store for as long as it takes. */
async function insistFor<Value>(
  runtime: Runtime,
  open: OpenRequest,
  operation: string,
  act: () => Promise<Value>,
): Promise<{ readonly value: Value } | undefined> {
  runtime.open.mark(open, 'running');
  runtime.open.unwritten += 1;
  const written = await insist(runtime, { requestId: open.requestId, operation }, act);
  runtime.open.unwritten -= 1;
  return written;
}

/**
 * Gives a request that has not ended back to a durable store, where it waits for whoever takes it in next. Whoever holds on
 * to this one is told that the service ends. Never rejects.
 */
export async function release(runtime: Runtime, open: OpenRequest, reason: 'evicted' | 'shutdown'): Promise<void> {
  const message = `request ${open.requestId} waits in the store, and goes on when the service is started again`;
  const error = createError(open, 'shutting-down', message, {});
  const ending: Ending = { kind: 'failed', error };
  if (!open.settle(settlementOf(ending), error)) return;
  open.isReleased = true;
  // What cannot be written any more is claimed by a process that has ended, and recovered from that.
  await insistFor(runtime, open, 'park', () => recordMissing(runtime, open).then(() => runtime.store.park(open.claim)));
  leave(runtime, open);
  endStream(open, ending);
  open.wake();
  runtime.announce('request.parked', { requestId: open.requestId, reason });
}

/** The record has ended, or is somebody else's: what the store says is how it ended. Never rejects. */
export async function supersede(runtime: Runtime, open: OpenRequest): Promise<void> {
  // A store that fails just now is asked again: what it knows must not be told as another end.
  const loaded = await insistFor(runtime, open, 'load', () => runtime.store.load(open.requestId));
  const settlement = loaded?.value.kind === 'found' ? loaded.value.record.settlement : undefined;
  if (settlement === undefined) {
    disown(runtime, open);
    return;
  }
  // What came here is not what it ended with, unless the store kept it although it had said that it failed.
  if (!isStoredEnd(open.settlement, settlement)) open.history.takeBack();
  const error = settlement.status === 'succeeded' ? undefined : SwitchgearError.fromReport(settlement.error);
  if (!open.settle(settlement, error)) open.replaceEnding(settlement, error);
  finish(
    runtime,
    open,
    settlement.status === 'succeeded'
      ? { kind: 'succeeded', response: settlement.response, reasoning: '' }
      : { kind: 'failed', error: SwitchgearError.fromReport(settlement.error) },
  );
}

function isStoredEnd(own: Settlement | undefined, stored: Settlement): boolean {
  return own !== undefined && JSON.stringify(withoutWireBody(own)) === JSON.stringify(stored);
}

/** The service ends before it could write how a request ended: nobody is told an end that may turn out another one. */
function disown(runtime: Runtime, open: OpenRequest): void {
  const message = `how request ${open.requestId} ended could not be written before the service ended; the store says that it is open`;
  const error = createError(open, 'store-unavailable', message, {});
  const ending: Ending = { kind: 'failed', error };
  if (!open.settle(settlementOf(ending), error)) open.replaceEnding(settlementOf(ending), error);
  // A durable record ends another day, and differently.
  open.isDisowned = runtime.store.isDurable;
  finish(runtime, open, ending);
}

function withoutWireBody(settlement: Settlement): Settlement {
  if (settlement.status !== 'succeeded' || settlement.response.kind !== 'completion') return settlement;
  const { wireBody: _, ...response } = settlement.response;
  return { ...settlement, response };
}

function settlementOf(ending: Ending): Settlement {
  if (ending.kind === 'succeeded') return { status: 'succeeded', response: ending.response };
  return { status: ending.error.code === 'cancelled' ? 'cancelled' : 'failed', error: ending.error.toJSON() };
}

/** The unified response of an answered attempt. */
export function respond(
  open: OpenRequest,
  candidate: Candidate,
  outcome: Exclude<AttemptOutcome, { kind: 'failed' }>,
  at: { nowMs: number; wallMs: number },
): AnyResponse {
  const { requestId, attempts } = open;
  const cost = attempts.at(-1)?.cost;
  const totalMs = at.nowMs - open.admittedAtMs;
  const queuedMs = Math.max(0, totalMs - open.attemptingMs);
  const common = {
    requestId,
    provider: candidate.provider,
    model: candidate.model,
    usage: outcome.reply.usage,
    ...(cost !== undefined && { cost }),
    attempts: [...attempts],
    createdAt: at.wallMs,
  };
  if (outcome.kind === 'embedded') {
    return { kind: 'embedding', ...common, vectors: outcome.reply.vectors, latency: { queuedMs, totalMs } };
  }
  const latency: Latency = {
    queuedMs,
    totalMs,
    ...(outcome.firstTokenMs !== undefined && { firstTokenMs: outcome.firstTokenMs }),
  };
  const { text, refusal, toolCalls, finishReason, reasoningDetails, wireBody } = outcome.reply;
  return {
    kind: 'completion',
    ...common,
    text: text === '' && refusal !== undefined ? refusal : text,
    message: {
      role: 'assistant',
      content: text === '' && toolCalls.length > 0 ? null : text,
      ...(refusal !== undefined && { refusal }),
      ...(toolCalls.length > 0 && {
        tool_calls: toolCalls.map((call) => ({
          id: call.id,
          type: 'function' as const,
          function: { name: call.name, arguments: call.arguments },
        })),
      }),
      ...(reasoningDetails !== undefined && { reasoningDetails }),
    },
    toolCalls,
    finishReason,
    latency,
    ...(wireBody !== undefined && { wireBody }),
  };
}

/** The error of a request whose last attempt failed for good. */
export function failureError(
  open: OpenRequest,
  { candidate, failure, partial }: LastFailure,
  retryAfterMs: number | undefined,
): SwitchgearError {
  const { code } = FAILURE_POLICY[failure.kind];
  return createError(open, code, nameSource(candidate, failure.message), {
    provider: candidate.provider,
    retryAfterMs: retryAfterMs ?? failure.retryAfterMs,
    partial,
    cause: failure.cause,
  });
}

/** Says which target a message came from, once: most adapters begin theirs with the provider. */
function nameSource({ provider, model }: Candidate, message: string): string {
  const said = message.startsWith(`${provider}: `) ? message.slice(provider.length + 2) : message;
  return `${provider}/${model}: ${said}`;
}

/** The error of a request that could not be routed. */
export function planError(open: OpenRequest, plan: Extract<RoutePlan, { kind: 'fail' }>): SwitchgearError {
  return createError(open, plan.code, plan.message, { retryAfterMs: plan.retryAfterMs, param: plan.param });
}

/** The error of a request whose work was stopped from outside. */
export function stopError(
  open: OpenRequest,
  reason: Exclude<StopReason, 'superseded'>,
  last: LastFailure | undefined,
  queueFullRetryMs: number,
): SwitchgearError {
  const details = { partial: last?.partial, provider: last?.candidate.provider };
  switch (reason) {
    case 'deadline': {
      const lastly =
        last === undefined ? '' : `; the last attempt said: ${nameSource(last.candidate, last.failure.message)}`;
      return createError(
        open,
        'timeout',
        `the request was not answered within ${open.init.timeoutMs} ms${lastly}; allow more with timeoutMs or submit it`,
        details,
      );
    }
    case 'caller-left':
    case 'cancelled':
      return createError(
        open,
        'cancelled',
        `the request was cancelled${reason === 'caller-left' ? ' because its caller left' : ''}`,
        details,
      );
    case 'evicted':
      return createError(
        open,
        'queue-full',
        'the request was given up while it waited: the queue was full, nobody waited for it, and more urgent ones came; submit it again later, or raise service.queueDepthMax',
        { ...details, retryAfterMs: queueFullRetryMs },
      );
    case 'shutdown':
      return createError(open, 'shutting-down', 'the service is shutting down; send the request again', details);
  }
}

interface OptionalDetails {
  readonly provider?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly partial?: { readonly text: string } | undefined;
  readonly param?: string | undefined;
  readonly cause?: unknown;
}

function createError(open: OpenRequest, code: ErrorCode, message: string, details: OptionalDetails): SwitchgearError {
  return new SwitchgearError(code, message, {
    requestId: open.requestId,
    attempts: [...open.attempts],
    ...(details.provider !== undefined && { provider: details.provider }),
    ...(details.retryAfterMs !== undefined && { retryAfterMs: details.retryAfterMs }),
    ...(details.partial !== undefined && { partial: details.partial }),
    ...(details.param !== undefined && { param: details.param }),
    ...(details.cause !== undefined && { cause: details.cause }),
  });
}

function endStream(open: OpenRequest, ending: Ending): void {
  const { sink, delivery } = open.init;
  if (sink === undefined) return;
  if (ending.kind === 'failed') {
    sink.end({ kind: 'error', error: ending.error });
    return;
  }
  if (ending.response.kind !== 'completion')
    throw new TypeError('expected a stream to end with a completion, got: an embedding');
  if (delivery === 'whole') addWhole(sink, ending.response, ending.reasoning);
  sink.add({ type: 'finish', response: ending.response });
  sink.end({ kind: 'done' });
}

function addWhole(sink: PartSink, response: CompletionResponse, reasoning: string): void {
  if (reasoning !== '') sink.add({ type: 'reasoning', text: reasoning });
  if (response.text !== '') sink.add({ type: 'text', text: response.text });
  for (const call of response.toolCalls) sink.add({ type: 'toolCall', ...call });
}

function announceSettled(runtime: Runtime, open: OpenRequest, settlement: Settlement): void {
  const response = settlement.status === 'succeeded' ? settlement.response : undefined;
  const error = settlement.status === 'succeeded' ? undefined : settlement.error;
  const costs = open.attempts.flatMap((attempt) => (attempt.cost === undefined ? [] : [attempt.cost.usdNanos]));
  runtime.announce('request.settled', {
    requestId: open.requestId,
    outcome: settlement.status,
    totalMs: Math.round(runtime.clock.nowMs() - open.admittedAtMs),
    attempts: [...open.attempts],
    ...(error !== undefined && { code: error.code, message: error.message }),
    ...(response !== undefined && { provider: response.provider, model: response.model, usage: response.usage }),
    ...(costs.length > 0 && { costUsd: costs.reduce((sum, nanos) => sum + nanos, 0) / 1_000_000_000 }),
  });
}
