/** The one error type that leaves this package. What a code means is in `failures.ts`. */
import type { AttemptReport, RequestId, Usage } from './response.ts';

export type ErrorCode =
  | 'invalid-request'
  | 'unknown-model'
  | 'unauthorized'
  | 'rate-limited'
  | 'overloaded'
  | 'queue-full'
  | 'timeout'
  | 'cancelled'
  | 'interrupted'
  | 'context-too-long'
  | 'content-filtered'
  | 'budget-exhausted'
  | 'providers-unavailable'
  | 'provider-error'
  | 'invalid-config'
  | 'request-not-found'
  | 'request-expired'
  | 'idempotency-conflict'
  | 'store-unavailable'
  | 'shutting-down';

export interface ErrorDetails {
  readonly provider?: string;
  /** When it makes sense to try again, in ms from now. */
  readonly retryAfterMs?: number;
  readonly requestId?: RequestId;
  readonly attempts?: readonly AttemptReport[];
  /** What had arrived when the answer broke. */
  readonly partial?: { readonly text: string; readonly usage?: Usage };
  /** The request field or config path at fault. */
  readonly param?: string;
  readonly cause?: unknown;
}

/** The stored and wire form of a `SwitchgearError`. */
export interface ErrorReport {
  readonly code: ErrorCode;
  readonly message: string;
  readonly provider?: string;
  readonly retryAfterMs?: number;
  readonly requestId?: RequestId;
  readonly attempts: readonly AttemptReport[];
  readonly partial?: { readonly text: string; readonly usage?: Usage };
  readonly param?: string;
}

/** Every failure a caller sees. `message` says what to do and never contains a key or a prompt. */
export class SwitchgearError extends Error {
  override readonly name = 'SwitchgearError';
  readonly code: ErrorCode;
  readonly provider: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly requestId: RequestId | undefined;
  readonly attempts: readonly AttemptReport[];
  readonly partial: { readonly text: string; readonly usage?: Usage } | undefined;
  readonly param: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.provider = details.provider;
    this.retryAfterMs = details.retryAfterMs;
    this.requestId = details.requestId;
    this.attempts = details.attempts ?? [];
    this.partial = details.partial;
    this.param = details.param;
  }

  /** The same error as plain JSON; `JSON.stringify(error)` gives it too. */
  toJSON(): ErrorReport {
    return {
      code: this.code,
      message: this.message,
      ...(this.provider !== undefined && { provider: this.provider }),
      ...(this.retryAfterMs !== undefined && { retryAfterMs: this.retryAfterMs }),
      ...(this.requestId !== undefined && { requestId: this.requestId }),
      attempts: this.attempts,
      ...(this.partial !== undefined && { partial: this.partial }),
      ...(this.param !== undefined && { param: this.param }),
    };
  }

  static fromReport(report: ErrorReport): SwitchgearError {
    return new SwitchgearError(report.code, report.message, report);
  }
}
