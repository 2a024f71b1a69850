/** One try of one notice: sent, judged, and what came of it written to the outbox. */
import type { Clock } from '../contract/clock.ts';
import type { EventName, Events } from '../contract/events.ts';
import type { ExpiredDelivery, WebhookDelivery, WebhookOutbox } from '../contract/storage.ts';
import { askStore, STORE_WAIT_MS } from '../runtime/ask-store.ts';
import { sleep } from '../runtime/sleep.ts';
import type { Endpoint } from './endpoint.ts';
import { renderNotice } from './notice.ts';
import { decideNext, type NextStep } from './schedule.ts';

const PAUSE_BASE_MS = 1_000;
const PAUSE_CAP_MS = 60_000;

export interface DeliveryDeps {
  readonly clock: Clock;
  /** The steady wall clock, epoch ms, by which the outbox says what is due. */
  readonly steadyNowMs: () => number;
  readonly outbox: WebhookOutbox;
  readonly announce: <Name extends EventName>(name: Name, payload: Events[Name]) => void;
}

/** How long an outbox that failed is left alone; doubles with each failure in a row. */
export function outboxPauseMs(failures: number): number {
  return Math.min(PAUSE_CAP_MS, PAUSE_BASE_MS * 2 ** Math.min(failures, 10));
}

/**
 * Tries once. What it came to is written before anything is announced, however often the outbox has to be asked, because a
 * notice that is still there is sent again. When `signal` aborts, the notice stays as it is. Never rejects; says for how long,
 * in ms, the receiver wants to be left alone.
 */
export async function tryDelivery(
  deps: DeliveryDeps,
  endpoint: Endpoint,
  delivery: WebhookDelivery | ExpiredDelivery,
  signal: AbortSignal,
): Promise<number> {
  if (delivery.settlement === undefined) return tellExpired(deps, delivery, signal);
  const outcome = await endpoint.send(renderNotice(delivery), signal);
  if (outcome.kind === 'abandoned') return 0;
  const step = decideNext(outcome, delivery.tries, deps.clock.random());
  if (await writeStep(deps, delivery, step, signal)) announceStep(deps, delivery, step);
  return step.kind === 'retry' ? step.holdMs : 0;
}

/** Whoever came for the result now would find none: nothing is sent, and the notice is given up. */
async function tellExpired(deps: DeliveryDeps, delivery: ExpiredDelivery, signal: AbortSignal): Promise<number> {
  const step = { kind: 'give-up', reason: 'the result expired before its notice was delivered' } as const;
  if (await writeStep(deps, delivery, step, signal)) announceStep(deps, delivery, step);
  return 0;
}

async function writeStep(
  { clock, steadyNowMs, outbox, announce }: DeliveryDeps,
  { requestId, tries }: WebhookDelivery | ExpiredDelivery,
  step: NextStep,
  signal: AbortSignal,
): Promise<boolean> {
  const dueAt = step.kind === 'retry' ? steadyNowMs() + step.waitMs : undefined;
  const operation = dueAt === undefined ? 'webhooks.remove' : 'webhooks.postpone';
  for (let failures = 0; ; failures++) {
    try {
      const written = dueAt === undefined ? outbox.remove(requestId) : outbox.postpone(requestId, tries + 1, dueAt);
      await askStore(clock, written, STORE_WAIT_MS, signal);
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      announce('store.failed', { requestId, operation, message: String(error) });
    }
    if (!(await sleep(clock, outboxPauseMs(failures), signal))) return false;
  }
}

function announceStep(
  { announce }: DeliveryDeps,
  { requestId, tries: triesBefore, settlement }: WebhookDelivery | ExpiredDelivery,
  step: NextStep,
): void {
  const tries = settlement === undefined ? triesBefore : triesBefore + 1;
  switch (step.kind) {
    case 'done':
      announce('webhook.delivered', { requestId, tries, status: step.status });
      return;
    case 'retry':
      announce('webhook.postponed', { requestId, tries, retryInMs: step.waitMs, reason: step.reason });
      return;
    case 'give-up':
      announce('webhook.failed', { requestId, tries, reason: step.reason });
  }
}
