/** What the simulation knows of each request it made, by the prompt that carries its number. */
import type { Priority } from '../../src/contract/request.ts';

export interface Ticket {
  readonly prompt: string;
  readonly mode: 'sync' | 'stream' | 'async' | 'embedding';
  readonly priority: Priority;
  /** The one provider it is pinned to; undefined: any. */
  readonly pin: string | undefined;
  readonly hasKey: boolean;
  readonly tenant: string | undefined;
  readonly isAtMostOnce: boolean;
  /** Wall clock less monotonic clock of the process it was submitted to, ms. */
  readonly wallOffsetMs: number;
  /** Monotonic ms. */
  readonly submittedAtMs: number;
  readonly timeoutMs: number;
  /** When nobody wanted it any more: its caller left, it was cancelled, or it has ended. */
  goneAtMs: number | undefined;
  /** Upstream calls made for it, oldest first. */
  readonly calls: { readonly provider: string; readonly credentialId: string; readonly atMs: number }[];
}

export class Tickets {
  readonly #open = new Map<string, Ticket>();
  #sequence = 0;

  issue(parts: Omit<Ticket, 'prompt' | 'goneAtMs' | 'calls'>): Ticket {
    const ticket: Ticket = { ...parts, prompt: `q${++this.#sequence}`, goneAtMs: undefined, calls: [] };
    this.#open.set(ticket.prompt, ticket);
    return ticket;
  }

  find(prompt: string): Ticket | undefined {
    return this.#open.get(prompt);
  }

  forget(ticket: Ticket): void {
    this.#open.delete(ticket.prompt);
  }

  get issued(): number {
    return this.#sequence;
  }

  list(): Iterable<Ticket> {
    return this.#open.values();
  }
}
