/** What callers ask for, by the ticket that stands for it; and the idempotency keys they come back with. */
import type { CompletionRequest, RequestOptions } from '../../src/contract/request.ts';
import type { CallersDeps } from './callers.ts';
import type { Ticket } from './tickets.ts';

/** Keys that may be used again. */
const KEYS_KEPT = 50;

/** An idempotency key, and what it stands for. */
export interface KeyUse {
  readonly key: string;
  readonly content: string;
  readonly model: string;
  readonly tenant: string | undefined;
  requestId?: string;
}

export class Keys {
  readonly #deps: CallersDeps;
  readonly #kept: KeyUse[] = [];
  #sequence = 0;

  constructor(deps: CallersDeps) {
    this.#deps = deps;
  }

  /** A key for a request: one that was used before, with what it stands for, or another one. */
  draw(ticket: Ticket): KeyUse {
    const { dice } = this.#deps;
    if (this.#kept.length > 0 && dice.chance(0.6)) return dice.pick(this.#kept);
    const { prompt: content, tenant } = ticket;
    const use = { key: `k${++this.#sequence}`, content, model: modelOf(ticket), tenant };
    this.#kept.push(use);
    if (this.#kept.length > KEYS_KEPT) this.#kept.shift();
    return use;
  }

  /** What it stands for has an id; the same one as before, unless that result has been kept for its time. */
  note(use: KeyUse, requestId: string): void {
    const { watch, clock } = this.#deps;
    const nowMs = clock.nowMs() + this.#deps.wallOffsetMs();
    const isFree =
      use.requestId === undefined || (watch !== undefined && watch.isReadable(use.requestId, nowMs) !== 'found');
    this.#deps.chronicle.expect(
      isFree || use.requestId === requestId,
      'promise 15: one idempotency key, one request',
      () => `${use.key} stands for ${use.requestId} and ${requestId}`,
    );
    use.requestId = requestId;
  }
}

/** The one model of its provider, or whoever has one. */
export function modelOf(ticket: Ticket): string {
  return ticket.pin === undefined ? 'any' : `${ticket.pin}/m`;
}

/** What a ticket asks for. */
export function requestOf(ticket: Ticket): CompletionRequest {
  return { model: modelOf(ticket), messages: [{ role: 'user', content: ticket.prompt }] };
}

/** What a key stands for, whoever comes with it. */
export function keyedRequest({ model, content }: KeyUse): CompletionRequest {
  return { model, messages: [{ role: 'user', content }] };
}

/** How a ticket asks for it. */
export function optionsOf(ticket: Ticket): RequestOptions {
  const { priority, timeoutMs, tenant, isAtMostOnce } = ticket;
  return {
    priority,
    timeoutMs,
    ...(tenant !== undefined && { tenant }),
    ...(isAtMostOnce && { recovery: 'atMostOnce' as const }),
  };
}

/** A key means what its first user meant by it, for that tenant. */
export function keyOf({ key, tenant }: KeyUse): RequestOptions {
  return { idempotencyKey: key, ...(tenant !== undefined && { tenant }) };
}
