/**
 * Plays a planned reply on a socket: keeps its pace, waits for a slow reader, stops when the client leaves, and writes
 * down what went out. Waits are absolute from the start, so that a fast stream does not drift.
 */
import type { ServerResponse } from 'node:http';
import { pause, untilAborted } from '../adapters/mock/pause.ts';
import type { Clock } from '../contract/clock.ts';
import type { Reply, Step } from './reply.ts';
import type { SimulatorRequest } from './request-log.ts';

export interface Playing {
  readonly reply: Reply;
  readonly response: ServerResponse;
  readonly clock: Clock;
  /** Aborts when the client has left or the simulator closes. */
  readonly signal: AbortSignal;
  /** Ms since the simulator's start. */
  readonly now: () => number;
  /** Filled in as the reply goes. */
  readonly entry: SimulatorRequest;
}

interface Progress extends Playing {
  /** When the next wait began, on the clock. */
  dueMs: number;
  /** The last write has left. */
  written: Promise<void>;
  /** The connection is gone; it may never call back for what was written to it. */
  readonly gone: Promise<void>;
}

/** Plays one reply to its end, or until the signal aborts. Rejects only for a defect. */
export async function playReply(playing: Playing): Promise<void> {
  const { reply, response, clock, signal, entry, now } = playing;
  const gone = new Promise<void>((resolve) => response.once('close', () => resolve()));
  const progress: Progress = { ...playing, dueMs: clock.nowMs(), written: Promise.resolve(), gone };
  try {
    for (const step of reply.steps) {
      signal.throwIfAborted();
      await playStep(step, progress);
    }
    entry.endedAtMs ??= now();
  } catch (error) {
    // Only the signal ends a wait early; everything else is a defect that must be seen.
    if (!signal.aborted) throw error;
  }
}

async function playStep(step: Step, progress: Progress): Promise<void> {
  const { response, clock, signal } = progress;
  switch (step.kind) {
    case 'wait':
      progress.dueMs += step.ms;
      return await pause(clock, progress.dueMs - clock.nowMs(), signal);
    case 'headers':
      sendHeaders(progress);
      return response.flushHeaders();
    case 'write':
      progress.written = write(step, progress);
      if (step.isFlushed === true || response.writableNeedDrain) await leave(progress);
      return undefined;
    case 'silence':
      return await untilAborted(signal);
    case 'end':
      sendHeaders(progress);
      response.end();
      return await progress.gone;
    case 'destroy':
    case 'reset':
      return await breakOff(step.kind, progress);
  }
}

/** Resolves when the bytes have left. */
function write(step: Extract<Step, { kind: 'write' }>, progress: Progress): Promise<void> {
  const { response, entry } = progress;
  sendHeaders(progress);
  entry.bytesSent += Buffer.byteLength(step.bytes);
  entry.tokensSent += step.tokens;
  return new Promise((resolve) => {
    response.write(step.bytes, () => resolve());
  });
}

async function breakOff(kind: 'destroy' | 'reset', progress: Progress): Promise<void> {
  // What was written must have left first, or the cut would come earlier than it should.
  await leave(progress);
  progress.entry.endedAtMs = progress.now();
  if (kind === 'reset') progress.response.socket?.resetAndDestroy();
  else progress.response.socket?.destroy();
}

function leave({ written, gone }: Progress): Promise<void> {
  return Promise.race([written, gone]);
}

function sendHeaders({ reply, response, entry }: Progress): void {
  if (response.headersSent) return;
  entry.status = reply.status;
  response.writeHead(reply.status, reply.headers);
}
