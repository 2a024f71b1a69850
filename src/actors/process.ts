/** What a supervisor supervises: something with an id that runs until it exits, whatever it is made of. */

/** Why a process ended; the five exits of OTP. */
export type ExitReason =
  | { readonly kind: 'normal' }
  | { readonly kind: 'shutdown' }
  | { readonly kind: 'killed' }
  | { readonly kind: 'error'; readonly error: unknown };

export interface Process {
  readonly id: string;
  /** Calls `listener` once, when the process has ended; at once when it has ended already. */
  onExit(listener: (reason: ExitReason) => void): void;
  /** Ends the process. Resolves when it has ended; never rejects. */
  stop(): Promise<void>;
  suspend?(): void;
  resume?(): void;
  readonly isSuspended?: boolean;
}

/** Tells every listener once and forgets them. One that throws keeps nobody else from hearing it (R11). */
export function tellExit(listeners: Set<(reason: ExitReason) => void>, reason: ExitReason): void {
  const told = [...listeners];
  listeners.clear();
  for (const listener of told) {
    try {
      listener(reason);
    } catch {
      // What a listener makes of an exit is its own affair; the process has ended either way.
    }
  }
}

export type SupervisorErrorCode =
  | 'noproc'
  | 'not-found'
  | 'timeout'
  | 'mailbox-full'
  | 'already-started'
  | 'failed-to-start'
  | 'start-timeout'
  | 'invalid-spec'
  | 'aborted'
  | 'stopped';

/** What supervisors and actors answer when they cannot do what was asked. */
export class SupervisorError extends Error {
  override readonly name = 'SupervisorError';
  readonly code: SupervisorErrorCode;

  constructor(code: SupervisorErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
