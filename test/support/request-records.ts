/** Request records, claims and settlements as tests of stores need them. */
import { type Claim, FIRST_FENCE, type RequestRecord, type Settlement } from '../../src/contract/records.ts';
import type { AttemptReport } from '../../src/contract/response.ts';

export const TARGET = { provider: 'openai', model: 'model-1' };

/** The claim of whoever inserted a record for memory. */
export const claimOf = (requestId: string): Claim => ({ requestId, fence: FIRST_FENCE });

/** A record that was just accepted. */
export function createRecord(requestId: string, changes: Partial<RequestRecord> = {}): RequestRecord {
  return {
    requestId,
    tenant: 'default',
    idempotencyKey: undefined,
    requestHash: 'hash-1',
    request: { kind: 'completion', model: 'model-1', messages: [{ role: 'user', content: 'Hello' }] },
    fallbacks: undefined,
    priority: 'normal',
    tags: { team: 'one' },
    createdAt: Date.UTC(2026, 0, 1),
    enqueuedAt: Date.UTC(2026, 0, 1),
    timeoutMs: 600_000,
    recovery: 'atLeastOnce',
    recoveries: 0,
    status: 'queued',
    attempts: [],
    ...changes,
  };
}

export const failedSettlement: Settlement = {
  status: 'failed',
  error: { code: 'provider-error', message: 'the provider answered 500', provider: 'openai', attempts: [] },
};

export const cancelledSettlement: Settlement = {
  status: 'cancelled',
  error: { code: 'cancelled', message: 'the request was cancelled', attempts: [] },
};

/** An answer to a request. */
export function succeededSettlement(requestId: string, text = 'Hello'): Settlement {
  return {
    status: 'succeeded',
    response: {
      kind: 'completion',
      requestId,
      provider: 'openai',
      model: 'model-1',
      text,
      message: { role: 'assistant', content: text },
      toolCalls: [],
      finishReason: 'stop',
      usage: { inputTokens: 3, outputTokens: 1 },
      latency: { queuedMs: 0, totalMs: 5 },
      attempts: [],
      createdAt: Date.UTC(2026, 0, 1),
    },
  };
}

export function attemptReport(outcome: AttemptReport['outcome'], changes: Partial<AttemptReport> = {}): AttemptReport {
  return { ...TARGET, outcome, durationMs: 12, ...changes };
}
