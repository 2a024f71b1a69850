/**
 * The promises that only a provider can see being broken: nothing comes before a Retry-After is over, after a deadline, or for
 * whoever has left; retries stay within their budget; a paced provider is not asked more often than it allows; and who waits
 * for it comes in order. All of it also when another process asks than the one that was told.
 */
import type { Clock } from '../../src/contract/clock.ts';
import type { Chronicle } from './chronicle.ts';
import type { ProviderPlan } from './plan.ts';
import type { Ticket, Tickets } from './tickets.ts';

const CLOCK_ROUNDING_MS = 2;
/** Debts are saved at most once a second, and less than a second's are not. */
const PACE_FORGOTTEN_MS = 2_000;

interface CredentialRecord {
  heldFromMs: number;
  heldUntilMs: number;
  /** When it last asked to be left alone. */
  toldAtMs: number;
  firsts: number;
  retries: number;
  /** When the process began that asks now, monotonic ms. */
  sinceMs: number;
}

export interface ProviderSideDeps {
  readonly clock: Clock;
  readonly chronicle: Chronicle;
  readonly tickets: Tickets;
  /** Whether calls can be counted on to be sent at the moment they are paced. */
  readonly isPacingExact: boolean;
  /** Whether nothing but its key decides which of two waiting requests goes first. */
  readonly isCalmWorld: boolean;
}

export class ProviderSide {
  readonly plan: ProviderPlan;
  readonly #deps: ProviderSideDeps;
  readonly #credentials = new Map<string, CredentialRecord>();
  readonly #recent: number[] = [];
  /** When processes ended, each of which may have forgotten what it owed for the last second. */
  readonly #paceSlack: number[] = [];
  /** When the process began that asks now. */
  #sinceMs = 0;

  constructor(plan: ProviderPlan, deps: ProviderSideDeps) {
    this.plan = plan;
    this.#deps = deps;
  }

  /** The process that asked is gone. What it had been told and could not keep it cannot be held to. */
  processEnded(isKept: (toldAtMs: number) => boolean): void {
    for (const record of this.#credentials.values()) {
      if (!isKept(record.toldAtMs)) record.heldUntilMs = 0;
      record.firsts = 0;
      record.retries = 0;
    }
    this.#paceSlack.push(this.#deps.clock.nowMs());
  }

  /** Another process asks now. `forwardMs`: its clock was set forward by so much; undefined: it knows nothing of the last one. */
  processStarts(forwardMs: number | undefined): void {
    const nowMs = this.#deps.clock.nowMs();
    this.#sinceMs = nowMs;
    for (const record of this.#credentials.values()) {
      record.sinceMs = nowMs;
      record.heldUntilMs -= CLOCK_ROUNDING_MS + (forwardMs ?? Number.POSITIVE_INFINITY);
    }
    if (forwardMs !== 0) this.#recent.length = 0;
  }

  /** A call has come. `wallOffsetMs`: wall clock less monotonic clock of the process that asks. */
  judge(ticket: Ticket, credentialId: string, wallOffsetMs: number): void {
    const { clock, chronicle } = this.#deps;
    const { name } = this.plan;
    const nowMs = clock.nowMs();
    chronicle.expect(
      ticket.goneAtMs === undefined,
      'promise 8: nothing is sent for whoever has left',
      () => `${name} is asked ${ticket.prompt}, gone since ${ticket.goneAtMs}`,
    );
    // A request does not pay for a clock that was set back between two processes.
    const setBackMs = Math.max(0, ticket.wallOffsetMs - wallOffsetMs);
    chronicle.expect(
      ticket.hasKey || nowMs < ticket.submittedAtMs + ticket.timeoutMs + setBackMs + CLOCK_ROUNDING_MS,
      'promise 8: nothing is sent after its deadline',
      () => `${name} is asked ${ticket.prompt} ${nowMs - ticket.submittedAtMs} ms after its submission`,
    );
    this.#judgeCredential(credentialId, ticket);
    this.#judgePace();
    if (this.#deps.isCalmWorld) this.#judgeOrder(ticket);
    ticket.calls.push({ provider: name, credentialId, atMs: nowMs });
  }

  /** What is answered in the end has not been multiplied. */
  answered(ticket: Ticket, credentialId: string): void {
    const [before, last] = ticket.calls.slice(-2);
    if (last !== undefined && before?.credentialId === last.credentialId) this.#record(credentialId).retries -= 1;
  }

  /** It has asked to be left alone. */
  asksForPatience(credentialId: string, retryAfterMs: number): void {
    const record = this.#record(credentialId);
    const nowMs = this.#deps.clock.nowMs();
    record.toldAtMs = nowMs;
    if (nowMs >= record.heldUntilMs) record.heldFromMs = nowMs;
    record.heldUntilMs = Math.max(record.heldUntilMs, nowMs + retryAfterMs);
  }

  #judgeCredential(credentialId: string, ticket: Ticket): void {
    const { clock, chronicle } = this.#deps;
    const nowMs = clock.nowMs();
    const record = this.#record(credentialId);
    // Two that were sent at the moment of the refusal were on their way together.
    const isHeld = nowMs > record.heldFromMs && nowMs < record.heldUntilMs;
    chronicle.expect(
      !isHeld,
      'promise 7: Retry-After is a floor',
      () => `${credentialId} is used ${record.heldUntilMs - nowMs} ms too early`,
    );
    const last = ticket.calls.at(-1);
    if (last === undefined) record.firsts += 1;
    else if (last.credentialId === credentialId) record.retries += 1;
    const allowed = 20 + 0.2 * record.firsts + (nowMs - record.sinceMs) / 10_000;
    chronicle.expect(
      record.retries <= allowed + 1e-6,
      'promise 6: retries stay within their budget',
      () => `${credentialId}: ${record.retries} retries for ${record.firsts} first attempts`,
    );
  }

  /** Those who wait for nobody but this provider, and have not been served, go by their virtual deadlines. */
  #judgeOrder(ticket: Ticket): void {
    const { clock, chronicle, tickets } = this.#deps;
    const waits = (other: Ticket) =>
      other.mode === 'sync' && !other.hasKey && other.pin === this.plan.name && other.calls.length === 0;
    if (!waits(ticket)) return;
    chronicle.count('order judged');
    for (const other of tickets.list()) {
      const isWaiting = other !== ticket && waits(other) && other.goneAtMs === undefined;
      // Within a second it may be on its way into the lane.
      if (!isWaiting || other.submittedAtMs > clock.nowMs() - 1_000) continue;
      chronicle.expect(
        keyMs(ticket) <= keyMs(other),
        'promise 9: the smallest virtual deadline goes first',
        () => `${ticket.prompt} (${ticket.priority}) overtook ${other.prompt} (${other.priority})`,
      );
    }
  }

  #judgePace(): void {
    const { clock, chronicle, isPacingExact } = this.#deps;
    const { name, requestsPerMinute } = this.plan;
    if (requestsPerMinute === undefined || !isPacingExact) return;
    const nowMs = clock.nowMs();
    this.#recent.push(nowMs);
    while ((this.#recent[0] ?? nowMs) <= nowMs - 60_000) this.#recent.shift();
    while ((this.#paceSlack[0] ?? nowMs) <= nowMs - 60_000) this.#paceSlack.shift();
    const forgotten = this.#paceSlack.length * (Math.ceil((PACE_FORGOTTEN_MS * requestsPerMinute) / 60_000) + 1);
    chronicle.expect(
      this.#recent.length <= requestsPerMinute + forgotten,
      'promise 22: pacing holds in any minute',
      () => `${name} was asked ${this.#recent.length} times in a minute, and allows ${requestsPerMinute}`,
    );
  }

  #record(credentialId: string): CredentialRecord {
    const known = this.#credentials.get(credentialId);
    if (known !== undefined) return known;
    const fresh = { heldFromMs: 0, heldUntilMs: 0, toldAtMs: 0, firsts: 0, retries: 0, sinceMs: this.#sinceMs };
    this.#credentials.set(credentialId, fresh);
    return fresh;
  }
}

function keyMs({ submittedAtMs, priority }: Ticket): number {
  return submittedAtMs + { high: 0, normal: 30_000, low: 600_000 }[priority];
}
