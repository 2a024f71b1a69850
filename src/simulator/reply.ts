/**
 * A reply as a list of steps, worked out before the first byte goes: what is written, when, and how it ends. Pure, so that
 * every fault is visible in one place; `play.ts` does what it says on a socket.
 */
import type { Fault } from './faults.ts';
import { createProblem, type Problem } from './problems.ts';
import { writeFrame, type Frame, type Wire } from './wire.ts';

export type Step =
  /** `isFlushed`: waits until it has left. */
  | {
      readonly kind: 'write';
      readonly bytes: string | Uint8Array;
      readonly tokens: number;
      readonly isFlushed?: boolean;
    }
  | { readonly kind: 'headers' }
  | { readonly kind: 'wait'; readonly ms: number }
  /** Until the client leaves. */
  | { readonly kind: 'silence' }
  /** `destroy` closes the connection in the middle of the body, `reset` does it with RST. */
  | { readonly kind: 'end' | 'destroy' | 'reset' };

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly steps: readonly Step[];
}

/** What a healthy upstream would send. */
export type Rendering =
  | { readonly kind: 'stream'; readonly frames: readonly Frame[] }
  /** `tokens`: how many a whole answer stands for. */
  | { readonly kind: 'whole'; readonly body: unknown; readonly tokens: number }
  | { readonly kind: 'problem'; readonly problem: Problem };

/** The circumstances of one reply. */
export interface ReplyContext {
  readonly wire: Wire;
  readonly requestId: string;
  readonly path: string;
  readonly latencyMs: number;
  /** Between two tokens. */
  readonly gapMs: number;
  /** The key as it came, for the fault that quotes it. */
  readonly key: string | undefined;
}

const HTML_PAGE =
  '<!DOCTYPE html>\n<html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>\n';

/** Plans the reply that a fault puts in the place of an answer; undefined when the fault spoils the answer itself. */
export function planInstead(fault: Fault, rendering: Rendering, context: ReplyContext): Reply | undefined {
  const { wire, latencyMs } = context;
  switch (fault.kind) {
    case 'problem':
      return planProblem(fault.problem, context);
    case 'no-prefill':
      return undefined;
    case 'echo-key':
      return planProblem(
        createProblem('unauthorized', { message: `Incorrect API key provided: ${context.key ?? ''}.` }),
        context,
      );
    case 'error-body':
      return planText(
        200,
        'application/json',
        JSON.stringify(wire.renderProblem(createProblem('server'), context.requestId)),
        context,
      );
    case 'stream-error':
      return rendering.kind === 'stream' ? undefined : planProblem(fault.problem, context);
    case 'html':
      return planText(fault.status, 'text/html; charset=utf-8', HTML_PAGE, context);
    case 'empty-body':
      return planText(200, 'application/json', '', context);
    case 'redirect': {
      const reply = planText(fault.status, 'text/plain', 'Moved.', context);
      return { ...reply, headers: { ...reply.headers, location: `${redirectedPrefix}${context.path}` } };
    }
    case 'refuse':
      return { status: 0, headers: {}, steps: [{ kind: 'reset' }] };
    case 'reset':
      return { status: 0, headers: {}, steps: [{ kind: 'wait', ms: latencyMs }, { kind: 'reset' }] };
    case 'hang':
      return fault.forMs === undefined ? { status: 0, headers: {}, steps: [{ kind: 'silence' }] } : undefined;
    default:
      return undefined;
  }
}

/** What the address starts with that a redirect points to; what is asked there is answered without faults. */
export const redirectedPrefix = '/redirected';

/** Plans an error of the wire. */
export function planProblem(problem: Problem, context: ReplyContext): Reply {
  const body = JSON.stringify(context.wire.renderProblem(problem, context.requestId));
  const reply = planText(context.wire.statusOf(problem), 'application/json', body, context);
  if (problem.retryAfterSeconds === undefined) return reply;
  return { ...reply, headers: { ...reply.headers, 'retry-after': String(problem.retryAfterSeconds) } };
}

/** Plans a body that goes out in one piece. */
function planText(
  status: number,
  contentType: string,
  body: string,
  { wire, requestId, latencyMs }: ReplyContext,
): Reply {
  return {
    status,
    headers: {
      'content-type': contentType,
      'content-length': String(Buffer.byteLength(body)),
      [wire.idHeader]: requestId,
    },
    steps: [
      { kind: 'wait', ms: latencyMs },
      { kind: 'headers' },
      ...(body === '' ? [] : [{ kind: 'write' as const, bytes: body, tokens: 0 }]),
      { kind: 'end' },
    ],
  };
}

/** A piece of a body that faults count: a token, an event, or what lies between. */
export interface Segment {
  readonly kind: Frame['kind'];
  readonly text: string;
  readonly tokens: number;
}

/** Cuts what would be sent into the pieces that faults count; an unstreamed body into as many as it has tokens. */
export function cutSegments(rendering: Exclude<Rendering, { kind: 'problem' }>, isSliced: boolean): readonly Segment[] {
  if (rendering.kind === 'stream') {
    return rendering.frames.map((frame) => ({
      kind: frame.kind,
      text: writeFrame(frame),
      tokens: frame.kind === 'token' ? 1 : 0,
    }));
  }
  const body = JSON.stringify(rendering.body);
  const count = isSliced ? Math.max(1, Math.min(rendering.tokens, body.length)) : 1;
  return Array.from({ length: count }, (_slice, index) => ({
    kind: 'token',
    text: body.slice(Math.floor((index * body.length) / count), Math.floor(((index + 1) * body.length) / count)),
    tokens: isSliced ? 1 : rendering.tokens,
  }));
}
