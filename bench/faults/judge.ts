/**
 * The verdict on one history. What deceives a caller fails whatever else was done well: no end at all, a truncated answer
 * taken for a whole one, two answers glued together. After that come the rules that must hold, then whether the caller was
 * given what is owed, then manners. Pure: the same for every system.
 */
import type { Fault, FaultDelivery } from './fault.ts';
import { type CallerRequest, type History, readText, WORDS } from './history.ts';
import { inSeconds } from './rules.ts';

/** `partial`: answered with bad manners, or a clean error where an answer was owed. */
export type Verdict = 'pass' | 'partial' | 'fail';

export interface Judgement {
  readonly verdict: Verdict;
  /** Why, in words; of a pass what came of it. */
  readonly reason: string;
}

export interface Circumstances {
  readonly delivery: FaultDelivery;
  /** Whether the system under test has a second provider to go to. */
  readonly hasFallback: boolean;
}

/** Longest quotation of an error. */
const messageLengthMax = 100;

/** Judges what came of a fault. */
export function judge(fault: Fault, history: History, { delivery, hasFallback }: Circumstances): Judgement {
  const deceits = history.requests.map((request) => describeDeceit(request, delivery, fault));
  const rules = fault.rules.filter((rule) => hasFallback || rule.needsFallback !== true);
  const broken = (severity: 'must' | 'conduct') =>
    rules.filter((rule) => rule.severity === severity).map((rule) => rule.check(history));
  const failures = listTrue([...deceits, ...broken('must')]);
  if (failures.length > 0) return { verdict: 'fail', reason: failures.join('; ') };
  const missing = describeMissing(fault, history, delivery);
  const complaints = listTrue([missing, ...broken('conduct')]);
  if (complaints.length > 0) return { verdict: 'partial', reason: complaints.join('; ') };
  return { verdict: 'pass', reason: (fault.describe ?? describePass)(history) };
}

/** What no caller could have seen through, or would have waited out. */
function describeDeceit(request: CallerRequest, delivery: FaultDelivery, fault: Fault): string | undefined {
  const text = readText(request.text);
  if (request.end === 'hung') return `no end within ${inSeconds(fault.hangMs)}`;
  if (request.end === 'answered') {
    if (text.kind === 'whole') return undefined;
    if (text.kind === 'garbled') return "a text that is no provider's answer passed for one";
    const words = text.kind === 'part' ? text.words : 0;
    return `a truncated answer passed for a whole one (${words} of ${WORDS} words)`;
  }
  if (text.kind === 'garbled') return "what reached the caller before the error is no provider's answer";
  if (delivery === 'whole' && text.kind !== 'none')
    return 'parts reached the caller although the answer never was whole';
  return undefined;
}

/** What is owed and was not given. */
function describeMissing({ ideal }: Fault, { requests }: History, delivery: FaultDelivery): string | undefined {
  if (ideal === 'refusal')
    return requests.every(({ end }) => end === 'failed') ? undefined : 'an answer instead of the refusal';
  const failed = requests.filter((request) => request.end === 'failed' && !isCleanBreak(request, delivery));
  const [first] = failed;
  if (first === undefined) return undefined;
  const count = requests.length === 1 ? '' : `${failed.length} of ${requests.length} requests: `;
  return `${count}no answer but a clean error: ${shorten(first.message ?? '')}`;
}

/** What has been delivered live cannot be taken back: telling that it broke is all that is left. */
function isCleanBreak(request: CallerRequest, delivery: FaultDelivery): boolean {
  return delivery === 'live' && request.end === 'failed' && request.text !== '';
}

function describePass({ requests: [request] }: History): string {
  const text = readText(request?.text ?? '');
  if (request?.end === 'failed') return text.kind === 'part' ? `a clean error after ${text.words} words` : 'refused';
  return text.kind === 'whole' ? `answered by the ${text.side}` : 'answered';
}

function shorten(message: string): string {
  const line = message.replaceAll(/\s+/gu, ' ').trim();
  return line.length > messageLengthMax ? `${line.slice(0, messageLengthMax)}…` : line;
}

function listTrue(reasons: readonly (string | undefined)[]): readonly string[] {
  return [...new Set(reasons.filter((reason) => reason !== undefined))];
}
