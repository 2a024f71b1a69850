/**
 * Plays one fault on real sockets and in real time: the upstreams begin to misbehave, the caller asks what it has to ask,
 * and both views are written down. A request that does not end in its time is let go and counts as hung.
 */
import { systemClock } from '../../src/runtime/system-clock.ts';
import type { Fault, FaultDelivery, PlannedRequest } from './fault.ts';
import type { CallerRequest, History } from './history.ts';
import type { Stage } from './stage.ts';
import type { Heard, Session } from './subject.ts';

export interface Playing {
  readonly fault: Fault;
  readonly stage: Stage;
  readonly session: Session;
  readonly delivery: FaultDelivery;
}

/** Plays a fault to its end. */
export async function play(playing: Playing): Promise<History> {
  const { fault, stage, session } = playing;
  const beganAtMs = systemClock.nowMs();
  stage.misbehave(fault.upstreams);
  const requests: CallerRequest[] = [];
  for (const planned of fault.requests) {
    if (planned.isAfterRecovery === true) stage.recover();
    requests.push(await ask(playing, planned, beganAtMs));
  }
  return {
    requests,
    primary: stage.attempts('primary', beganAtMs),
    fallback: stage.attempts('fallback', beganAtMs),
    bills: await session.readBills?.(),
  };
}

async function ask(playing: Playing, { notBeforeMs = 0 }: PlannedRequest, beganAtMs: number): Promise<CallerRequest> {
  const now = () => systemClock.nowMs() - beganAtMs;
  await sleep(notBeforeMs - now());
  const askedAtMs = now();
  const heard: Heard = { text: '', model: undefined, usage: undefined };
  const ended = await askOnce(playing, heard);
  return { askedAtMs, endedAtMs: now(), ...heard, ...ended };
}

async function askOnce(
  { fault, session, delivery }: Playing,
  heard: Heard,
): Promise<Pick<CallerRequest, 'end' | 'message'>> {
  const leaving = new AbortController();
  const timer = Promise.withResolvers<{ end: 'hung' }>();
  const handle = systemClock.setTimeout(() => timer.resolve({ end: 'hung' }), fault.hangMs);
  const asked = session.ask({ delivery, signal: leaving.signal }, heard).then(
    () => ({ end: 'answered' as const }),
    (error: unknown) => ({ end: 'failed' as const, message: describeError(error) }),
  );
  const ended = await Promise.race([asked, timer.promise]);
  systemClock.clearTimeout(handle);
  leaving.abort();
  return ended;
}

/** What a caller would read: the message, and those of what caused it. */
function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${describeError(error.cause)})` : error.message;
}

function sleep(ms: number): Promise<void> {
  return ms <= 0 ? Promise.resolve() : new Promise((resolve) => void systemClock.setTimeout(resolve, ms));
}
