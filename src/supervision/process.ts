/** What a supervisor supervises: something with an id that runs until it exits, whatever it is made of. */
import type { ChildState } from '../contract/state.ts';

/**
 * Why a process ended; the five exits of OTP. `normal`, and `shutdown` with or without a `detail` (`{shutdown, Term}`), are
 * orderly ends: a transient child is not restarted after them.
 */
export type ExitReason =
  | { readonly kind: 'normal' }
  | { readonly kind: 'shutdown'; readonly detail?: unknown }
  | { readonly kind: 'killed' }
  | { readonly kind: 'error'; readonly error: unknown };

export interface Process {
  readonly id: string;
  /** Calls `listener` once, when the process has ended; at once when it has ended already. */
  onExit(listener: (reason: ExitReason) => void): void;
  /** The listener hears nothing any more. */
  offExit?(listener: (reason: ExitReason) => void): void;
  /** Asks the process to end. Resolves when it has ended; never rejects. */
  stop(): Promise<void>;
  /** Ends it at once, with nothing of its own run any more: its exit is `killed`. What it has begun comes to nothing. */
  kill?(): void;
  suspend?(): void;
  resume?(): void;
  readonly isSuspended?: boolean;
  /** Only supervisors have any. */
  children?(): readonly ChildState[];
}

export function isOrderly(reason: ExitReason): boolean {
  return reason.kind === 'normal' || reason.kind === 'shutdown';
}

/** Tells every listener once and forgets them. One that throws keeps nobody else from hearing it (R11). */
export function tellExit(listeners: Set<(reason: ExitReason) => void>, reason: ExitReason): void {
  const told = [...listeners];
  listeners.clear();
  for (const listener of told) tellQuietly(() => listener(reason));
}

/** Calls somebody whose errors are his own affair, also those that come later; `onError` hears of them. */
export function tellQuietly(call: () => unknown, onError: (error: unknown) => void = () => undefined): void {
  try {
    const told = call();
    if (told instanceof Promise) told.catch(onError);
  } catch (error) {
    onError(error);
  }
}

export type SupervisorErrorCode =
  /** Nobody of that name is alive. */
  | 'noproc'
  | 'not-found'
  | 'timeout'
  | 'mailbox-full'
  /** A child of that id runs. */
  | 'already-started'
  /** A child of that id is kept, and does not run: `restartChild` starts it, `deleteChild` forgets it. */
  | 'already-present'
  /** Asked for something that is only for a child that does not run. */
  | 'running'
  /** It is being restarted just now, or waits for that. */
  | 'restarting'
  | 'max-children'
  | 'failed-to-start'
  | 'start-timeout'
  | 'invalid-spec'
  | 'calling-self'
  | 'bad-return-value'
  | 'aborted'
  | 'stopped';

/** What supervisors and actors answer when they cannot do what was asked. */
export class SupervisorError extends Error {
  override readonly name = 'SupervisorError';
  readonly code: SupervisorErrorCode;
  /** Who has the id that was asked for. */
  readonly process: Process | undefined;

  constructor(
    code: SupervisorErrorCode,
    message: string,
    options: { readonly cause?: unknown; readonly process?: Process | undefined } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.process = options.process;
  }
}
