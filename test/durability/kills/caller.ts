/** Callers who submit, come back, cancel and try again, whatever happens to the daemon, and who remember everything they heard. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Dice } from '../../simulation/dice.ts';
import type { Seen, Standing, Wish } from './history.ts';
import { renderPrompt } from './upstream.ts';

/** Where the daemon is now. */
export interface Door {
  /** Waits until there is one; undefined when there will be none. */
  url(): Promise<string | undefined>;
}

interface Reply {
  readonly status: number;
  readonly code: string;
  readonly body: {
    readonly requestId?: string;
    readonly status?: string;
    readonly response?: unknown;
    readonly error?: unknown;
  };
}

export class Callers {
  readonly wishes: Wish[] = [];
  readonly seen: Seen[] = [];
  readonly #door: Door;
  readonly #dice: Dice;
  #isOver = false;

  constructor(door: Door, dice: Dice) {
    this.#door = door;
    this.#dice = dice;
  }

  /** Lives until `stop`. */
  async live(callers: number): Promise<void> {
    await Promise.all(Array.from({ length: callers }, (_, number) => this.#liveOne(number)));
  }

  stop(): void {
    this.#isOver = true;
  }

  /** Reads every request that was accepted until it has ended, at most so long. */
  async readAll(withinMs: number): Promise<void> {
    const untilMs = performance.now() + withinMs;
    const ids = new Set(this.seen.flatMap((event) => (event.kind === 'accepted' ? [event.requestId] : [])));
    for (const requestId of ids) {
      while ((await this.#read(requestId, 5)) === 'open' && performance.now() < untilMs) {
        // It waits at the daemon.
      }
    }
  }

  async #liveOne(number: number): Promise<void> {
    const dice = this.#dice.fork(`caller ${number}`);
    for (let turn = 0; !this.#isOver; turn++) {
      const wish: Wish = {
        tag: `wish-${number}-${turn}`,
        isKeyed: dice.chance(0.5),
        recovery: dice.chance(0.15) ? 'atMostOnce' : 'atLeastOnce',
        isPoison: dice.chance(0.02),
      };
      this.wishes.push(wish);
      await this.#pursue(wish, dice);
    }
  }

  /** Whoever has a key asks until there is an answer, and sometimes once more; whoever has none asks once. */
  async #pursue(wish: Wish, dice: Dice): Promise<void> {
    let requestId = await this.#submit(wish);
    while (wish.isKeyed && !this.#isOver && (requestId === undefined || dice.chance(0.2)))
      requestId = await this.#submit(wish);
    if (requestId === undefined) return;
    if (dice.chance(0.1)) await this.#cancel(requestId);
    const reads = wish.isPoison ? 1 : dice.integer(0, 4);
    for (let read = 0; read < reads && !this.#isOver; read++) {
      if ((await this.#read(requestId, dice.pick([0, 0.3, 1]))) === 'ended') await sleep(dice.integer(0, 50));
    }
  }

  async #submit(wish: Wish): Promise<string | undefined> {
    const { tag, isKeyed, recovery, isPoison } = wish;
    const reply = await this.#ask('POST', '/v1/requests', {
      headers: { 'x-switchgear-recovery': recovery, ...(isKeyed && { 'idempotency-key': tag }) },
      body: JSON.stringify({ model: 'up/m', messages: [{ role: 'user', content: renderPrompt(tag, isPoison) }] }),
    });
    if (reply === undefined) {
      this.seen.push({ kind: 'unanswered', tag });
      return undefined;
    }
    const { requestId } = reply.body;
    if (reply.status === 202 && requestId !== undefined) {
      this.seen.push({ kind: 'accepted', tag, requestId });
      return requestId;
    }
    this.seen.push({ kind: 'refused', tag, code: reply.code });
    await sleep(100);
    return undefined;
  }

  async #cancel(requestId: string): Promise<void> {
    this.seen.push({ kind: 'cancelling', requestId });
    const reply = await this.#ask('DELETE', `/v1/requests/${requestId}`);
    if (reply === undefined) return;
    if (reply.status === 404 || reply.status === 410) this.seen.push({ kind: 'missing', requestId, code: reply.code });
    else if (reply.body.status === 'cancelled') this.seen.push({ kind: 'cancelled', requestId });
  }

  async #read(requestId: string, waitSeconds: number): Promise<'open' | 'ended'> {
    const reply = await this.#ask('GET', `/v1/requests/${requestId}?wait=${waitSeconds}`);
    if (reply === undefined) return 'open';
    if (reply.status === 404 || reply.status === 410) {
      this.seen.push({ kind: 'missing', requestId, code: reply.code });
      return 'ended';
    }
    if (reply.status !== 200) return 'open';
    const standing = standingOf(reply);
    this.seen.push({ kind: 'read', requestId, standing });
    return standing === 'queued' || standing === 'running' ? 'open' : 'ended';
  }

  /** Undefined when the daemon died before it answered. */
  async #ask(
    method: string,
    path: string,
    { headers = {}, body }: { readonly headers?: Readonly<Record<string, string>>; readonly body?: string } = {},
  ): Promise<Reply | undefined> {
    const url = await this.#door.url();
    if (url === undefined) return undefined;
    try {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
        ...(body !== undefined && { body }),
      });
      return {
        status: response.status,
        code: response.headers.get('x-switchgear-error') ?? String(response.status),
        // What the routes promise.
        body: (await response.json()) as Reply['body'],
      };
    } catch {
      await sleep(5);
      return undefined;
    }
  }
}

function standingOf({ body, code }: Reply): Standing {
  switch (body.status) {
    case 'succeeded':
      return `succeeded ${textOf(body.response)}`;
    case 'failed':
    case 'cancelled':
      return `${body.status} ${code}`;
    default:
      return body.status ?? 'unknown';
  }
}

/** The one text of a chat completion. */
function textOf(response: unknown): string {
  return /"content":"([^"]*)"/.exec(JSON.stringify(response))?.[1] ?? '';
}
