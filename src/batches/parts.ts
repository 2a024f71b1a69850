/** What batches work with: stores, time, and the few things that the service does for them. Built by the composition root. */
import type { BatchStore, FileStore } from '../contract/batches.ts';
import type { Clock } from '../contract/clock.ts';
import type { ResolvedConfig } from '../contract/config.ts';
import type { EventName, Events } from '../contract/events.ts';
import type { BatchLine } from '../contract/records.ts';
import type { ParsedRequest, RequestOptions } from '../contract/request.ts';
import type { RequestId } from '../contract/response.ts';

/** A line that becomes a request in memory at once. */
export interface LineRequest {
  readonly request: ParsedRequest;
  readonly options: RequestOptions;
  readonly line: BatchLine;
}

export interface BatchParts {
  readonly clock: Clock;
  /** Epoch ms that only go forward: what is stored is dated by it. */
  readonly steadyWallMs: () => number;
  readonly config: () => ResolvedConfig;
  readonly batches: BatchStore;
  readonly files: FileStore;
  /** False: whoever gave the request store gave none for its batches. */
  readonly isKept: boolean;
  /** Whether requests may wait in the store alone. */
  readonly isDurable: boolean;
  readonly nextRequestId: () => RequestId;
  /** The random part of other ids. */
  readonly nextId: () => string;
  readonly announce: <Name extends EventName>(name: Name, payload: Events[Name]) => void;
  readonly isDraining: () => boolean;
  /** Aborts when the service ends: nothing is waited for any more. */
  readonly ending: AbortSignal;
  /** @throws {SwitchgearError} `unknown-model` */
  readonly checkModel: (model: string, fallbacks: RequestOptions['fallbacks']) => void;
  /** Takes a line in as any submitted request. @throws {SwitchgearError} as admission */
  readonly admit: (line: LineRequest) => Promise<void>;
  /** Requests were parked. */
  readonly feed: () => void;
  /** @throws {SwitchgearError} */
  readonly cancelRequest: (requestId: RequestId) => Promise<unknown>;
}
