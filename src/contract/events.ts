/**
 * What observers are told. No decision depends on an event (R11): listeners run after the fact, and one that throws is
 * caught and counted.
 */
import type { ErrorCode } from './errors.ts';
import type { AttemptReport, RequestId, Usage } from './response.ts';

export type BreakerName = 'closed' | 'open' | 'halfOpen';

export interface Events {
  'request.admitted': { requestId: RequestId; model: string; priority: string; mode: 'sync' | 'async' | 'stream' };
  'request.settled': {
    requestId: RequestId;
    outcome: 'succeeded' | 'failed' | 'cancelled';
    code?: ErrorCode;
    /** Why it failed. */
    message?: string;
    provider?: string;
    model?: string;
    totalMs: number;
    attempts: readonly AttemptReport[];
    usage?: Usage;
    costUsd?: number;
  };
  /** It waits in a durable store alone: memory is full, or the service ends. */
  'request.parked': { requestId: RequestId; reason: 'evicted' | 'shutdown' };
  'attempt.started': { requestId: RequestId; provider: string; model: string; attempt: number; isProbe: boolean };
  'attempt.failed': AttemptReport & {
    requestId: RequestId;
    attempt: number;
    credential: string;
    kind: string;
    status?: number;
    retryAfterMs?: number;
  };
  'breaker.opened': { provider: string; reason: string; openMs: number };
  'breaker.halfOpened': { provider: string };
  'breaker.closed': { provider: string };
  'gate.held': { provider: string; credential: string; forMs: number };
  'credential.disabled': { provider: string; credential: string; reason: 'unauthorized' | 'quota-exhausted' };
  'health.changed': { provider: string; from: string; to: string; reason?: string };
  'check.failed': { provider: string; message: string; kind: string };
  'actor.crashed': { actor: string; incarnation: number; message: string };
  'actor.restarted': { actor: string; incarnation: number; restarts: number };
  'provider.gaveUp': { provider: string; restarts: number };
  'provider.revived': { provider: string };
  /** What is stored of it is not understood, wholly or in part. */
  'state.ignored': { provider: string; reason: string };
  /** `waitMs`: until it may be asked. `blocked`: credentials that are still taken out. */
  'provider.restored': { provider: string; breaker: BreakerName; waitMs: number; blocked: readonly string[] };
  'config.reloaded': { added: readonly string[]; removed: readonly string[]; changed: readonly string[] };
  /** Without a requestId: an operation that is about no single request. */
  'store.failed': { requestId?: RequestId; operation: string; message: string };
  'webhook.delivered': { requestId: RequestId; tries: number; status: number };
  /** A try failed; there will be another one. */
  'webhook.postponed': { requestId: RequestId; tries: number; retryInMs: number; reason: string };
  /** Nothing more is tried. */
  'webhook.failed': { requestId: RequestId; tries: number; reason: string };
  /** What a process that ended had left behind. */
  'service.recovered': { queued: number; requeued: number; interrupted: number };
  'batch.created': { batchId: string; total: number; tenant: string };
  'batch.finished': {
    batchId: string;
    status: string;
    total: number;
    succeeded: number;
    failed: number;
    cancelled: number;
  };
  'service.draining': { graceMs: number; open: number };
  'service.failed': { reason: string };
  'listener.failed': { event: string; message: string };
}

export type EventName = keyof Events;
export type Unsubscribe = () => void;
