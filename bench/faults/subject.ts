/** What is put to the test: a way from a caller to two providers. Ours and everybody else's look the same from here. */
import type { WireName } from '../../src/simulator/wire.ts';
import type { FaultDelivery } from './fault.ts';
import type { Bill, Side, Tokens } from './history.ts';
import type { Stage } from './stage.ts';

/** What has reached the caller so far; filled in as it comes, so that what came before an error is known. */
export interface Heard {
  text: string;
  model: string | undefined;
  usage: Tokens | undefined;
}

/** What a caller asks for. The signal ends a request whose time is up. */
export interface Asked {
  readonly delivery: FaultDelivery;
  readonly signal: AbortSignal;
}

/** A caller at one stage. */
export interface Session {
  /** Asks once. Resolves when the system says that the answer is complete, rejects with the error it gives instead. */
  ask(asked: Asked, heard: Heard): Promise<void>;
  /** What was booked. Left out where no accounts are kept. */
  readBills?(): Promise<Readonly<Record<Side, Bill>>>;
  close(): Promise<void>;
}

/** A system that runs, ready for its stages. */
export interface RunningSubject {
  open(stage: Stage): Promise<Session>;
  close(): Promise<void>;
}

/** A system under test. */
export interface Subject {
  readonly name: string;
  /** How it was set up, for readers: whatever is not its default. */
  readonly settings: string;
  /** What the providers speak. */
  readonly wire: WireName;
  /** Whether it has a second provider to go to. */
  readonly hasFallback: boolean;
  readonly deliveries: readonly FaultDelivery[];
  /** Starts it for these stages, which are running. */
  start(stages: readonly Stage[]): Promise<RunningSubject>;
}

/** Starts a system that needs nothing but a session of its own at every stage. */
export function perStage(open: (stage: Stage) => Promise<Session>): Subject['start'] {
  return async () => ({ open, close: async () => undefined });
}
