/**
 * What mutation testing looks at: the rules that lose money or requests when they are wrong, each group with the tests that
 * state its guarantees. Other tests pass through this code too and are left out: they would only slow every mutant down.
 */

export interface MutationGroup {
  readonly name: string;
  /** Files whose every mutant counts. */
  readonly sources: readonly string[];
  readonly tests: readonly string[];
}

/** The least share of mutants, in per cent, that the tests of a group have to detect. */
export const SCORE_MIN = 95;

export const GROUPS: readonly MutationGroup[] = [
  {
    name: 'breaker',
    sources: [
      'src/policy/breaker.ts',
      'src/policy/window.ts',
      'src/actors/provider.ts',
      'src/actors/provider-memory.ts',
      'src/actors/credentials.ts',
    ],
    tests: [
      'test/policy/breaker.test.ts',
      'test/policy/window.test.ts',
      'test/actors/provider*.test.ts',
      'test/actors/breaker-*.test.ts',
      'test/actors/credentials.test.ts',
    ],
  },
  {
    name: 'failure-table',
    sources: ['src/contract/failures.ts', 'src/policy/decide.ts', 'src/policy/retry.ts'],
    tests: ['test/contracts/failures.test.ts', 'test/policy/decide.test.ts', 'test/policy/retry*.test.ts'],
  },
  {
    name: 'limiter',
    sources: [
      'src/policy/limit.ts',
      'src/policy/pace.ts',
      'src/actors/pacing-buckets.ts',
      'src/actors/provider-control.ts',
      'src/actors/admission.ts',
      'src/actors/retry-buckets.ts',
    ],
    tests: [
      'test/policy/limit*.test.ts',
      'test/policy/pace.test.ts',
      'test/actors/pacing-buckets.test.ts',
      'test/actors/provider*.test.ts',
      'test/actors/breaker-defects.test.ts',
    ],
  },
  {
    name: 'ledger',
    sources: [
      'src/policy/price.ts',
      'src/stores/memory-ledger.ts',
      'src/stores/ledger-query.ts',
      'src/stores/ledger-totals.ts',
      'src/stores/daily-group.ts',
      'src/stores/daily-totals.ts',
      'src/actors/cost-tracker.ts',
    ],
    tests: [
      'test/policy/price.test.ts',
      'test/stores/daily-totals.test.ts',
      'test/stores/ledger-model.test.ts',
      'test/stores/memory-ledger.test.ts',
      'test/actors/cost-tracker.test.ts',
    ],
  },
  {
    name: 'supervision',
    sources: [
      'src/supervision/child-table.ts',
      'src/supervision/launch.ts',
      'src/supervision/lifespan.ts',
      'src/supervision/pool.ts',
      'src/supervision/restart-intensity.ts',
      'src/supervision/restart-rules.ts',
      'src/supervision/stop-process.ts',
      'src/supervision/supervisor.ts',
    ],
    tests: [
      'test/supervision/restart-*.test.ts',
      'test/supervision/found-in-review.test.ts',
      'test/supervision/operators.test.ts',
      'test/supervision/otp-traces.test.ts',
      'test/supervision/pool.test.ts',
      'test/supervision/significant.test.ts',
      'test/supervision/strategies.test.ts',
      'test/supervision/supervisor*.test.ts',
      'test/supervision/told.test.ts',
    ],
  },
  {
    name: 'queue',
    sources: [
      'src/policy/order.ts',
      'src/runtime/heap-queue.ts',
      'src/runtime/fair-queue.ts',
      'src/runtime/class-line.ts',
      'src/runtime/turn-line.ts',
      'src/runtime/indexed-heap.ts',
      'src/runtime/shares.ts',
    ],
    tests: [
      'test/policy/order*.test.ts',
      'test/policy/heap-queue.test.ts',
      'test/runtime/fair-queue.test.ts',
      'test/runtime/turn-line.test.ts',
      'test/runtime/indexed-heap.test.ts',
      'test/runtime/lane.test.ts',
      'test/runtime/open-table.test.ts',
      'test/runtime/shares.test.ts',
    ],
  },
];
