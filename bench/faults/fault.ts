/**
 * What a fault is: how the two upstreams behave, what the caller asks, and which rules hold whatever the system under test
 * does about it. All of it is data, so that one definition serves every wire, every delivery and every system.
 */
import type { SimulatorPatch } from '../../src/simulator/options.ts';
import type { History, Side } from './history.ts';

/**
 * How an answer reaches the caller: in one piece, as a stream that flows as it comes, or as a stream that is held back
 * until it is complete.
 */
export type FaultDelivery = 'unstreamed' | 'live' | 'whole';

/** One request of the caller, sent when the one before it has ended, and not before its time. */
export interface PlannedRequest {
  /** Ms since the fault began. Default: at once. */
  readonly notBeforeMs?: number;
  /** Whether the primary is healthy from now on. */
  readonly isAfterRecovery?: boolean;
}

/** One thing that has to hold. */
export interface Rule {
  /** Breaking `must` is a failure; breaking `conduct` is bad manners, which the caller survives. */
  readonly severity: 'must' | 'conduct';
  /** Asks nothing of a system that has no second provider to go to. */
  readonly needsFallback?: boolean;
  /** Says what was broken; undefined when it holds. */
  readonly check: (history: History) => string | undefined;
}

/** One fault. */
export interface Fault {
  readonly id: string;
  /** What goes wrong. */
  readonly title: string;
  /** What has to be done about it, for readers. */
  readonly expected: string;
  /** How the upstreams behave from the moment the fault begins. */
  readonly upstreams: Readonly<Partial<Record<Side, SimulatorPatch>>>;
  readonly deliveries: readonly FaultDelivery[];
  readonly requests: readonly PlannedRequest[];
  /** A request that has not ended by then never will. */
  readonly hangMs: number;
  /** What the caller is owed: an answer, or the provider's refusal. */
  readonly ideal: 'answer' | 'refusal';
  readonly rules: readonly Rule[];
  /** Tells what came of it when it passed, where there is more to tell than who answered. */
  readonly describe?: (history: History) => string;
}
