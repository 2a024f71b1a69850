/**
 * How a command fails: one sentence that says what to do, and the exit code that tells a script the same. What an error
 * code of the daemon means to a shell is this one table.
 */
import type { ErrorCode } from '../contract/errors.ts';
import { ERROR_POLICY } from '../contract/failures.ts';
import { EXIT, type ExitCode } from '../daemon/exit-code.ts';

export const EXIT_OF_CODE: Readonly<Record<ErrorCode, ExitCode>> = {
  'invalid-request': EXIT.request,
  'unknown-model': EXIT.request,
  'context-too-long': EXIT.request,
  'content-filtered': EXIT.request,
  'idempotency-conflict': EXIT.request,
  'request-not-found': EXIT.request,
  'request-expired': EXIT.request,
  cancelled: EXIT.request,
  unauthorized: EXIT.denied,
  'budget-exhausted': EXIT.denied,
  'rate-limited': EXIT.temporary,
  overloaded: EXIT.temporary,
  'queue-full': EXIT.temporary,
  timeout: EXIT.temporary,
  interrupted: EXIT.temporary,
  'providers-unavailable': EXIT.temporary,
  'store-unavailable': EXIT.temporary,
  'shutting-down': EXIT.temporary,
  'provider-error': EXIT.protocol,
  'invalid-config': EXIT.config,
};

export interface FailureDetails {
  /** The daemon's name for what went wrong. */
  readonly code?: string;
  readonly requestId?: string;
  readonly retryAfterSeconds?: number;
  /** Shown by `--json` instead of the error: what there is to tell is not an error. */
  readonly document?: unknown;
  readonly cause?: unknown;
}

/** Ends a command with `exitCode` and one line on standard error. */
export class CliFailure extends Error {
  override readonly name = 'CliFailure';
  readonly exitCode: ExitCode;
  readonly details: FailureDetails;

  constructor(exitCode: ExitCode, message: string, details: FailureDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.exitCode = exitCode;
    this.details = details;
  }

  /** What `--json` prints. */
  toJSON(): unknown {
    if (this.details.document !== undefined) return this.details.document;
    const { code, requestId, retryAfterSeconds } = this.details;
    return { error: { code, message: this.message, requestId, retryAfterSeconds, exitCode: this.exitCode } };
  }
}

/** Recognizes an error code of ours, or the name the OpenAI wire has for it. */
export function readErrorCode(name: unknown): ErrorCode | undefined {
  return CODES.find((code) => code === name || ERROR_POLICY[code].openaiCode === name);
}

/** What the daemon calls a defect of its own. */
const DEFECT = 'internal-error';

/** The exit code for a failure answer: by its name, else by what its status stands for, as when a proxy answered. */
export function exitCodeOf(name: unknown, status: number): ExitCode {
  if (name === DEFECT) return EXIT.crash;
  // Where the request came from was refused, by the daemon or by a proxy before it.
  if (status === 403) return EXIT.denied;
  const code = readErrorCode(name);
  if (code !== undefined) return EXIT_OF_CODE[code];
  // A bare 500 says nothing about a config.
  const meant = CODES.find(
    (candidate) => candidate !== 'invalid-config' && ERROR_POLICY[candidate].httpStatus === status,
  );
  return meant === undefined ? EXIT.protocol : EXIT_OF_CODE[meant];
}

// The keys of a total record over `ErrorCode` are exactly the error codes.
const CODES = Object.keys(ERROR_POLICY) as ErrorCode[];
