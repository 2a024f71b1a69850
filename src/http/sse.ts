/**
 * Writes server-sent events at the pace of their reader. When the socket is full the writer waits until it drains, so a slow
 * reader slows the provider instead of filling memory; one who takes nothing for too long is disconnected. While there is
 * nothing to say a comment goes out now and then; clients skip comments, proxies count them.
 */
import type { ServerResponse } from 'node:http';
import type { TimerHandle } from '../contract/clock.ts';
import { drained } from './drained.ts';
import type { Edge } from './edge.ts';

const HEARTBEAT = ': keep-alive\n\n';

const STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  // Asks nginx not to collect the stream before passing it on.
  'x-accel-buffering': 'no',
};

export class SseWriter {
  readonly #response: ServerResponse;
  readonly #edge: Pick<Edge, 'clock' | 'limits'>;
  #heartbeat: TimerHandle | undefined;

  constructor(response: ServerResponse, edge: Pick<Edge, 'clock' | 'limits'>) {
    this.#response = response;
    this.#edge = edge;
  }

  open(headers: Readonly<Record<string, string>>): void {
    if (this.#isGone) return;
    this.#response.writeHead(200, { ...STREAM_HEADERS, ...headers });
    this.#response.flushHeaders();
    this.#beatLater();
  }

  /** Resolves when the reader can take more, with true, or has left, with false. Never rejects. */
  async write(frames: string): Promise<boolean> {
    if (this.#isGone) return false;
    if (frames === '') return true;
    this.#stopBeat();
    if (!this.#response.write(frames)) await drained(this.#response, this.#edge);
    this.#beatLater();
    return !this.#isGone;
  }

  end(): void {
    this.#stopBeat();
    if (!this.#isGone) this.#response.end();
  }

  get #isGone(): boolean {
    return this.#response.destroyed || this.#response.writableEnded;
  }

  #beatLater(): void {
    if (this.#isGone) return;
    this.#heartbeat = this.#edge.clock.setTimeout(() => {
      if (this.#isGone) return;
      if (!this.#response.writableNeedDrain) this.#response.write(HEARTBEAT);
      this.#beatLater();
    }, this.#edge.limits.heartbeatMs);
  }

  #stopBeat(): void {
    if (this.#heartbeat !== undefined) this.#edge.clock.clearTimeout(this.#heartbeat);
    this.#heartbeat = undefined;
  }
}

/** One event. JSON holds no line break, but some decoders also split at the Unicode ones, so those are escaped. */
export function renderEvent(payload: unknown, event?: string): string {
  const json = JSON.stringify(payload).replaceAll(/[\u0085\u2028\u2029]/g, (separator) => {
    return `\\u${separator.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
  return `${event === undefined ? '' : `event: ${event}\n`}data: ${json}\n\n`;
}
