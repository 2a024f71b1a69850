/** What one measurement is asked for and says: between the benchmark and the process that measures. */

export const SUBJECTS = [
  'store',
  'store without thread',
  'service',
  'service without thread',
  'service, parked',
  'BullMQ, always',
  'BullMQ, everysec',
] as const;

export type Subject = (typeof SUBJECTS)[number];

export interface Task {
  readonly subject: Subject;
  readonly callers: number;
  /** Submissions that are measured. */
  readonly requests: number;
  /** The port of Redis, where one is asked. */
  readonly port?: number;
}

export interface Figures {
  readonly perSecond: number;
  /** From the call to the acknowledgement, ms. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** How late the event loop was, ms. */
  readonly loopP99Ms: number;
}

/** Submits from so many callers at once. */
export interface Submitter extends AsyncDisposable {
  submit(number: number): Promise<unknown>;
}
