/**
 * The rules that faults are made of. Each is a pure function of a history and says in words what was broken. A rule about
 * an answer holds when there was none: that nobody answered is judged elsewhere, once.
 */
import type { Rule } from './fault.ts';
import {
  type CallerRequest,
  type History,
  MODELS,
  readText,
  type Side,
  USAGE,
  type ProviderAttempt,
} from './history.ts';

/** At most `count` attempts at the primary, in the first `withinMs` of them when given. */
export function atMost(count: number, withinMs = Infinity): Rule {
  return must(({ primary }) => {
    const [first] = primary;
    const early = primary.filter(({ atMs }) => atMs - (first?.atMs ?? 0) < withinMs).length;
    const when = withinMs === Infinity ? '' : ` in ${inSeconds(withinMs)}`;
    return early > count ? `${early} attempts at the primary${when}, at most ${count} allowed` : undefined;
  });
}

/** Exactly one attempt at the primary. */
export function exactlyOne(severity: Rule['severity']): Rule {
  return {
    severity,
    check: ({ primary }) =>
      primary.length === 1 ? undefined : `${primary.length} attempts at the primary, exactly one expected`,
  };
}

/** The primary is asked a second time, and not before `gapMs`. */
export function retriedHere(gapMs = 0): Rule {
  return conduct(({ primary: [first, second] }) => {
    if (first === undefined || second === undefined) return 'not retried at the primary';
    const waitedMs = second.atMs - first.atMs;
    return waitedMs < gapMs
      ? `retried after ${inSeconds(waitedMs)}, not before ${inSeconds(gapMs)} allowed`
      : undefined;
  });
}

/** The first request ends within `limitMs`. */
export function within(limitMs: number, severity: Rule['severity']): Rule {
  return {
    severity,
    check: ({ requests: [request] }) => {
      const tookMs = request === undefined ? 0 : request.endedAtMs - request.askedAtMs;
      return tookMs > limitMs ? `took ${inSeconds(tookMs)}, at most ${inSeconds(limitMs)} allowed` : undefined;
    },
  };
}

/** The answer of the first request is the fallback's. */
export function answeredByFallback(severity: Rule['severity']): Rule {
  return { severity, needsFallback: true, check: ofAnswer((_request, side) => wrongSide(side)) };
}

function wrongSide(side: Side | undefined): string | undefined {
  return side === 'fallback' ? undefined : 'not answered by the fallback';
}

/** The fallback is never asked. */
export function notRoutedAround(): Rule {
  return conduct(({ fallback }) => (fallback.length === 0 ? undefined : 'the fallback was asked too'));
}

/** What the provider said reaches the caller. */
export function reasonReaches(reason: RegExp): Rule {
  return conduct(({ requests: [request] }) =>
    request?.end === 'failed' && !reason.test(request.message ?? '')
      ? "the provider's reason did not reach the caller"
      : undefined,
  );
}

/** What the provider said never reaches the caller. */
export function neverReaches(reason: RegExp, what: string): Rule {
  return must(({ requests }) =>
    requests.some(({ message }) => reason.test(message ?? '')) ? `${what} reached the caller` : undefined,
  );
}

/** The request after the faulty one is answered. */
export function nextWorks(): Rule {
  return must(({ requests }) => {
    const next = requests[1];
    if (next?.end === 'answered' && readText(next.text).kind === 'whole') return undefined;
    return `the next request ${next?.end === 'hung' ? 'hung' : `failed: ${next?.message ?? 'no whole answer'}`}`;
  });
}

/** The answer tells the usage of the attempt that gave it, and of no other. */
export function tellsUsage(): Rule {
  return {
    severity: 'conduct',
    check: ofAnswer(({ usage }) => {
      if (usage === undefined) return 'no usage was told';
      if (usage.input === USAGE.input && usage.output === USAGE.output) return undefined;
      return `told a usage of ${usage.input}+${usage.output} tokens, ${USAGE.input}+${USAGE.output} were used`;
    }),
  };
}

/** The answer names the fallback's model. */
export function namesFallback(): Rule {
  return {
    severity: 'must',
    needsFallback: true,
    check: ofAnswer(({ model }) =>
      model === MODELS.fallback ? undefined : `the answer names ${model ?? 'no model'}, not ${MODELS.fallback}`,
    ),
  };
}

/** Only the answer is booked, where accounts are kept. */
export function billsAnswerOnly(): Rule {
  return must(({ bills }) => {
    if (bills === undefined) return undefined;
    if (bills.primary.usdNanos > 0 || bills.primary.outputTokens > 0) return 'failed attempts were billed';
    const { usdNanos, outputTokens } = bills.fallback;
    return usdNanos > 0 && outputTokens === USAGE.output ? undefined : "the fallback's answer was not billed";
  });
}

/** During the outage every request is answered. */
export function servedWhileDown(downMs: number): Rule {
  return {
    severity: 'must',
    needsFallback: true,
    check: ({ requests }) => {
      const during = requests.filter(({ askedAtMs }) => askedAtMs < downMs);
      const served = during.filter(({ end }) => end === 'answered').length;
      return served === during.length ? undefined : `${served} of ${during.length} requests answered in the outage`;
    },
  };
}

/** The primary answers again within `limitMs` after the outage. */
export function usedAgain(downMs: number, limitMs: number): Rule {
  return must(({ primary }) => {
    const tookMs = readReturn(primary, downMs);
    if (tookMs === undefined) return 'the primary was not used again';
    return tookMs > limitMs
      ? `the primary was used again after ${inSeconds(tookMs)}, at most ${inSeconds(limitMs)} allowed`
      : undefined;
  });
}

/** While it is down, the primary is asked no oftener than the system itself is. */
export function fewProbes(downMs: number): Rule {
  return conduct(({ primary, requests }) => {
    const probes = countBefore(primary, downMs);
    const asked = requests.filter(({ askedAtMs }) => askedAtMs < downMs).length;
    return probes > asked ? `${probes} attempts at the primary for ${asked} requests in the outage` : undefined;
  });
}

/** Tells how an outage was lived through. */
export function describeOutage(downMs: number): (history: History) => string {
  return ({ primary, requests }) =>
    `${requests.length} requests answered, ${countBefore(primary, downMs)} attempts at the primary while it was down, used again ${inSeconds(readReturn(primary, downMs) ?? 0)} after`;
}

function countBefore(attempts: readonly ProviderAttempt[], untilMs: number): number {
  return attempts.filter(({ atMs }) => atMs < untilMs).length;
}

/** Ms from the end of the outage to the first answer. */
function readReturn(attempts: readonly ProviderAttempt[], downMs: number): number | undefined {
  const back = attempts.find(({ atMs, isAnswered }) => isAnswered && atMs >= downMs);
  return back === undefined ? undefined : back.atMs - downMs;
}

function must(check: Rule['check']): Rule {
  return { severity: 'must', check };
}

function conduct(check: Rule['check']): Rule {
  return { severity: 'conduct', check };
}

function ofAnswer(check: (request: CallerRequest, side: Side | undefined) => string | undefined): Rule['check'] {
  return ({ requests: [request] }: History) => {
    if (request?.end !== 'answered') return undefined;
    const text = readText(request.text);
    return check(request, text.kind === 'whole' ? text.side : undefined);
  };
}

/** Ms as people read them. */
export function inSeconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
