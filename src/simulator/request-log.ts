/** What the simulator was asked and what it did, newest last: the other side of the story that a test is told by a client. */
import type { WireName } from './wire.ts';

/** One request as the upstream saw it. Times are ms since the start; neither keys nor prompts are kept. */
export interface SimulatorRequest {
  readonly number: number;
  /** Empty when the connection was refused before a request was read. */
  readonly method: string;
  readonly path: string;
  readonly atMs: number;
  readonly headerNames: readonly string[];
  /** First 8 hex digits of the key's SHA-256. */
  readonly credential?: string;
  wire?: WireName;
  model?: string;
  isStream?: boolean;
  maxTokens?: number;
  /** Name of the fault that was served. */
  fault?: string;
  /** Undefined while no header was sent. */
  status?: number;
  bytesReceived: number;
  bytesSent: number;
  tokensSent: number;
  /** When the simulator had sent all it would. */
  endedAtMs?: number;
  /** When the client left before that. */
  closedByClientAtMs?: number;
}

/** Requests kept; older ones are forgotten. */
export const logEntriesMax = 10_000;

/** Keeps the newest requests. */
export class RequestLog {
  #entries: SimulatorRequest[] = [];
  #count = 0;

  /** Opens the entry of a request, which its server fills in while it goes on. */
  open(
    request: Pick<SimulatorRequest, 'method' | 'path' | 'atMs' | 'headerNames'> & {
      readonly credential: string | undefined;
    },
  ): SimulatorRequest {
    this.#count += 1;
    const { credential, ...rest } = request;
    const entry: SimulatorRequest = {
      number: this.#count,
      ...rest,
      ...(credential !== undefined && { credential }),
      bytesReceived: 0,
      bytesSent: 0,
      tokensSent: 0,
    };
    this.#entries.push(entry);
    // Dropping half at once keeps the cost per request constant.
    if (this.#entries.length >= 2 * logEntriesMax) this.#entries = this.#entries.slice(-logEntriesMax);
    return entry;
  }

  /** Copies the newest entries. */
  read(): readonly SimulatorRequest[] {
    return this.#entries.slice(-logEntriesMax).map((entry) => ({ ...entry }));
  }

  clear(): void {
    this.#entries = [];
  }
}
