/**
 * Plans a reply that starts like an answer and does not end like one: cut, stalled, malformed, too late or without its
 * end. Healthy answers come through here as well, as those that nothing spoils.
 */
import { gzipSync } from 'node:zlib';
import type { Fault } from './faults.ts';
import {
  cutSegments,
  planInstead,
  planProblem,
  type Rendering,
  type Reply,
  type ReplyContext,
  type Segment,
  type Step,
} from './reply.ts';
import { writeFrame } from './wire.ts';

/** Size of the pieces that `split` sends; it shares no factor with the length of UTF-8 characters. */
const splitBytes = 7;
/** Time between the keep-alives of `pings`. */
const pingEveryMs = 1_000;

/** Faults that count the tokens of an unstreamed body too. */
const SLICING: ReadonlySet<Fault['kind']> = new Set(['cut', 'end', 'stall', 'stall-cut', 'drip']);

/** Plans the reply to one request. */
export function planReply(rendering: Rendering, fault: Fault | undefined, context: ReplyContext): Reply {
  const instead = fault === undefined ? undefined : planInstead(fault, rendering, context);
  if (instead !== undefined) return instead;
  if (rendering.kind === 'problem') return planProblem(rendering.problem, context);
  const isStream = rendering.kind === 'stream';
  const isSliced = fault !== undefined && SLICING.has(fault.kind);
  const segments = cutSegments(rendering, isSliced);
  const generationMs = rendering.kind === 'whole' ? Math.max(0, rendering.tokens - 1) * context.gapMs : 0;
  const contentType = isStream ? 'text/event-stream; charset=utf-8' : 'application/json';
  const reply: Reply = {
    status: 200,
    headers: { 'content-type': contentType, 'cache-control': 'no-cache', [context.wire.idHeader]: context.requestId },
    steps: [
      { kind: 'wait', ms: context.latencyMs + generationMs + (fault?.kind === 'hang' ? (fault.forMs ?? 0) : 0) },
      { kind: 'headers' },
      ...planDelay(fault, isStream),
      ...planSegments(segments, { fault, isStream, context }),
    ],
  };
  return transform(reply, fault);
}

function planDelay(fault: Fault | undefined, isStream: boolean): readonly Step[] {
  if (fault?.kind === 'slow') return [{ kind: 'wait', ms: fault.firstTokenMs }];
  if (fault?.kind !== 'pings') return [];
  // White space before JSON is what a proxy keeps an unstreamed connection alive with.
  const ping: Step = { kind: 'write', bytes: isStream ? ': keep-alive\n\n' : ' ', tokens: 0 };
  const steps: Step[] = [];
  for (let waitedMs = 0; waitedMs < fault.firstTokenMs; waitedMs += pingEveryMs) {
    steps.push(ping, { kind: 'wait', ms: Math.min(pingEveryMs, fault.firstTokenMs - waitedMs) });
  }
  return steps;
}

interface Spoiling {
  readonly fault: Fault | undefined;
  readonly isStream: boolean;
  readonly context: ReplyContext;
}

function planSegments(segments: readonly Segment[], spoiling: Spoiling): readonly Step[] {
  const { fault, isStream, context } = spoiling;
  const gapMs = fault?.kind === 'drip' ? fault.everyMs : isStream ? context.gapMs : 0;
  const breakIndex = findBreak(segments, spoiling);
  // A stream with fewer events is spoilt at its last but one.
  const spoiltIndex = fault?.kind === 'bad-json' ? Math.max(0, Math.min(fault.event - 1, segments.length - 2)) : -1;
  const steps: Step[] = [];
  let tokens = 0;
  for (const [index, segment] of segments.entries()) {
    if (index === breakIndex) {
      const ending = planBreak(spoiling);
      steps.push(...ending);
      // A stall that ends goes on with the answer; every other break is the end.
      if (ending.at(-1)?.kind !== 'wait') return steps;
    }
    if (segment.kind === 'close' && (fault?.kind === 'no-done' || fault?.kind === 'no-done-end')) break;
    if (segment.kind === 'token' && tokens > 0 && gapMs > 0) steps.push({ kind: 'wait', ms: gapMs });
    steps.push({
      kind: 'write',
      bytes: index === spoiltIndex ? spoilText(segment, isStream) : segment.text,
      tokens: segment.tokens,
    });
    tokens += segment.tokens;
    if (segment.kind === 'finish' && fault?.kind === 'late-end') steps.push({ kind: 'wait', ms: fault.afterMs });
  }
  return [...steps, { kind: fault?.kind === 'no-done' && isStream ? 'silence' : 'end' }];
}

/** The index of the segment that no longer goes out: the token after the last, or the end of an answer that is shorter. */
function findBreak(segments: readonly Segment[], { fault, isStream }: Spoiling): number {
  if (fault === undefined || !('afterTokens' in fault)) return -1;
  // The last piece of an unstreamed body is always withheld: with it the answer would be whole.
  if (!isStream) return Math.min(fault.afterTokens, segments.length - 1);
  const tokens = segments.flatMap((segment, index) => (segment.kind === 'token' ? [index] : []));
  return (
    tokens[fault.afterTokens] ?? segments.findIndex((segment) => segment.kind === 'finish' || segment.kind === 'close')
  );
}

function planBreak({ fault, context }: Spoiling): readonly Step[] {
  switch (fault?.kind) {
    case 'end':
      return [{ kind: 'end' }];
    case 'stall':
      return [fault.forMs === undefined ? { kind: 'silence' } : { kind: 'wait', ms: fault.forMs }];
    case 'stall-cut':
      return [{ kind: 'wait', ms: fault.forMs }, { kind: 'destroy' }];
    case 'stream-error': {
      const bytes = writeFrame(context.wire.renderProblemFrame(fault.problem, context.requestId));
      return [{ kind: 'write', bytes, tokens: 0 }, { kind: 'end' }];
    }
    default:
      return [{ kind: 'destroy' }];
  }
}

function spoilText(segment: Segment, isStream: boolean): string {
  // A control character is allowed nowhere in JSON.
  if (!isStream) return `${segment.text.slice(0, 20)}\u0001${segment.text.slice(20)}`;
  // The event stays an event; its JSON loses its second half.
  const start = segment.text.indexOf('data: ') + 'data: '.length;
  const content = segment.text.slice(start).trimEnd();
  return `${segment.text.slice(0, start)}${content.slice(0, Math.ceil(content.length / 2))}\n\n`;
}

function transform(reply: Reply, fault: Fault | undefined): Reply {
  switch (fault?.kind) {
    case 'wrong-type':
      return { ...reply, headers: { ...reply.headers, 'content-type': 'application/octet-stream' } };
    case 'gzip-cut':
      return cutGzip(reply);
    case 'split':
      return { ...reply, steps: reply.steps.flatMap((step) => (step.kind === 'write' ? splitWrite(step) : [step])) };
    default:
      return reply;
  }
}

function cutGzip(reply: Reply): Reply {
  const text = reply.steps
    .map((step) => (step.kind === 'write' && typeof step.bytes === 'string' ? step.bytes : ''))
    .join('');
  const whole = gzipSync(text);
  const bytes = whole.subarray(0, Math.floor(whole.length / 2));
  const opening = reply.steps.filter((step) => step.kind === 'wait').slice(0, 1);
  return {
    ...reply,
    headers: { ...reply.headers, 'content-encoding': 'gzip', 'content-length': String(bytes.length) },
    steps: [...opening, { kind: 'headers' }, { kind: 'write', bytes, tokens: 0 }, { kind: 'end' }],
  };
}

function splitWrite(step: Extract<Step, { kind: 'write' }>): readonly Step[] {
  const bytes = Buffer.from(step.bytes);
  return Array.from({ length: Math.ceil(bytes.length / splitBytes) }, (_piece, index) => ({
    kind: 'write',
    bytes: bytes.subarray(index * splitBytes, (index + 1) * splitBytes),
    tokens: index === 0 ? step.tokens : 0,
    isFlushed: true,
  }));
}
