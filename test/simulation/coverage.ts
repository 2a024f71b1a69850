/** What has to happen somewhere in a few hundred seeds, or the simulation proves less than it says. */
import type { FailureKind } from '../../src/contract/failures.ts';
import { FAILURE_POLICY } from '../../src/contract/failures.ts';

// The keys of the table are exactly the failure kinds.
const FAILURES = (Object.keys(FAILURE_POLICY) as FailureKind[]).map((kind) => `failure: ${kind}`);

export const COVERAGE: readonly string[] = [
  ...FAILURES,
  ...['answer', 'fail', 'hang', 'break', 'nonsense'].map((fate) => `fate: ${fate}`),
  ...['sync', 'stream', 'async', 'embedding'].map((mode) => `mode: ${mode}`),
  ...['live', 'whole', 'restart'].map((delivery) => `delivery: ${delivery}`),
  ...['breaker.opened', 'breaker.halfOpened', 'breaker.closed', 'gate.held', 'credential.disabled'].map(
    (event) => `event: ${event}`,
  ),
  ...['actor.restarted', 'provider.gaveUp', 'provider.revived', 'store.failed', 'listener.failed'].map(
    (event) => `event: ${event}`,
  ),
  ...['provider', 'service', 'cost-tracker', 'health-monitor'].map((actor) => `crash: ${actor}`),
  ...['insert', 'load', 'settle', 'markRunning', 'addAttempt', 'append'].flatMap((operation) => [
    `store: ${operation} failed before its effect`,
    `store: ${operation} failed after its effect`,
  ]),
  ...[
    'timeout',
    'cancelled',
    'rate-limited',
    'overloaded',
    'queue-full',
    'providers-unavailable',
    'provider-error',
  ].map((code) => `error: ${code}`),
  ...['store-unavailable', 'context-too-long', 'content-filtered', 'invalid-request', 'unknown-model'].map(
    (code) => `error: ${code}`,
  ),
  ...['restarts an actor', 'suspends a provider', 'changes a provider', 'reloads', 'restores keys'].map(
    (act) => `operator: ${act}`,
  ),
  'operator: revives a provider',
  'breaker: forced probe',
  'retry-after judged',
  'order judged',
  'wall clock jumped',
  'left: by signal',
  'left: in the middle of a stream',
  ...['died by time', 'died at an operation', 'stopped'],
  ...['while running', 'while parked', 'while settling', 'during recovery'].map((when) => `died: ${when}`),
  ...['submitted', 'fed', 'evicted', 'shutdown', 'cancelled', 'failed'].map((what) => `parked: ${what}`),
  ...['interrupted attempt', 'third crash', 'atMostOnce', 'judged'].map((what) => `recovered: ${what}`),
  ...['closed', 'open', 'halfOpen'].map((state) => `restored: ${state}`),
  'store: hung',
  'start failed',
  'key: known after a restart',
  'fence: refused',
  'result: expired',
  'result: unknown',
  'told again by another process',
  'wall clock moved while nobody looked',
  'cancel: true',
  'cancel: false',
];
