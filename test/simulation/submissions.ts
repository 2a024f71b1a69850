/**
 * What callers do with requests they have submitted: they poll, cancel, read an end again, also from another process than the
 * one that told it, and hear that a result has been kept for its time.
 */
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { RequestResult, Service } from '../../src/contract/service.ts';
import { sleep } from '../../src/runtime/sleep.ts';
import type { CallersDeps } from './callers.ts';
import { endTicket, judgeAnswer, noteFailure, stackOf } from './judge-answers.ts';
import type { Ticket } from './tickets.ts';

/** Ends that may be asked for again. */
const TOLD_KEPT = 100;

/** A submitted request that was acknowledged. */
interface Acknowledged {
  readonly requestId: string;
  readonly ticket: Ticket;
}

/** An end that was told, word by word. */
interface Told {
  readonly requestId: string;
  readonly end: string;
  /** The process that told it. */
  readonly by: Service | undefined;
}

export class Submissions {
  readonly #deps: CallersDeps;
  /** Not known to have ended yet. */
  readonly #acknowledged = new Map<string, Acknowledged>();
  /** The ends that were told lately: every process tells them alike. */
  readonly #told: Told[] = [];
  /** From now on nobody asks for anything. */
  isOver = false;

  constructor(deps: CallersDeps) {
    this.#deps = deps;
  }

  /** Submitted, acknowledged, and not seen ended. */
  get unsettled(): number {
    return this.#acknowledged.size;
  }

  /** Everything that was acknowledged must end. */
  async collect(): Promise<void> {
    for (const { requestId, ticket } of [...this.#acknowledged.values()]) await this.#readResult(requestId, ticket, 0);
  }

  /** Its id has been heard: it is cancelled, asked for, or left alone. */
  async follow(requestId: string, ticket: Ticket): Promise<void> {
    this.#acknowledged.set(requestId, { requestId, ticket });
    const { dice, clock, traffic } = this.#deps;
    await sleep(clock, dice.logUniform(1, 120_000));
    if (dice.chance(traffic.cancelling)) await this.#cancel(requestId, ticket);
    for (let polls = 0; polls < 3 && this.#acknowledged.has(requestId) && !this.isOver; polls++) {
      await this.#readResult(requestId, ticket, dice.pick([0, 1_000, 60_000]));
      await sleep(clock, dice.logUniform(100, 300_000));
    }
  }

  async #cancel(requestId: string, ticket: Ticket): Promise<void> {
    const { chronicle, clock } = this.#deps;
    const cancelled = await this.#deps
      .service()
      ?.cancel(requestId)
      .catch((error: unknown) => {
        noteFailure(this.#deps, error, ticket);
        return undefined;
      });
    if (cancelled === undefined) return;
    chronicle.count(`cancel: ${cancelled}`);
    if (!cancelled) return;
    if (!ticket.hasKey) ticket.goneAtMs ??= clock.nowMs();
    const result = await this.#readResult(requestId, ticket, 0);
    chronicle.expect(
      result === undefined || result.status === 'cancelled',
      'promise 12: what was cancelled is cancelled',
      () => `${requestId} is ${result?.status}`,
    );
  }

  /** Reads again when it has ended: an end does not change. */
  async #readResult(requestId: string, ticket: Ticket, waitMs: number): Promise<RequestResult | undefined> {
    const { chronicle, clock } = this.#deps;
    const result = await this.#read(requestId, ticket, waitMs);
    if (result === undefined || result.status === 'queued' || result.status === 'running') return result;
    if (!this.#acknowledged.delete(requestId)) return result;
    chronicle.note(`${requestId} ${result.status}`);
    if (result.status === 'succeeded') judgeAnswer(this.#deps, result.response, ticket);
    else if ('error' in result) noteFailure(this.#deps, result.error, ticket);
    if (!ticket.hasKey) endTicket(this.#deps, ticket);
    const told = { requestId, end: JSON.stringify(result), by: this.#deps.service() };
    this.#told.push(told);
    if (this.#told.length > TOLD_KEPT) this.#told.shift();
    await sleep(clock, 10_000);
    if (!this.isOver) await this.#compare(told, ticket);
    return result;
  }

  /** Somebody asks once more for what was told, perhaps by an earlier process. */
  async recall(): Promise<void> {
    const { dice, chronicle } = this.#deps;
    if (this.#told.length === 0) return;
    const told = dice.pick(this.#told);
    if (told.by !== this.#deps.service()) chronicle.count('told again by another process');
    await this.#compare(told, undefined);
  }

  async #compare({ requestId, end }: Told, ticket: Ticket | undefined): Promise<void> {
    const again = await this.#read(requestId, ticket, 0);
    this.#deps.chronicle.expect(
      again === undefined || JSON.stringify(again) === end,
      'promise 12: an end does not change',
      () => `${requestId} was ${end} and is ${JSON.stringify(again)}`,
    );
  }

  /** Undefined: nobody runs who could be asked, the store cannot be read, or the result has been kept for its time. */
  async #read(requestId: string, ticket: Ticket | undefined, waitMs: number): Promise<RequestResult | undefined> {
    const { chronicle } = this.#deps;
    try {
      return await this.#deps.service()?.getResult(requestId, { waitMs });
    } catch (error) {
      if (ticket !== undefined) noteFailure(this.#deps, error, ticket);
      const isGone = error instanceof SwitchgearError && this.#isGone(requestId, error.code);
      chronicle.expect(
        isGone || (error instanceof SwitchgearError && error.code === 'store-unavailable'),
        'what was acknowledged can be read',
        () => stackOf(error),
      );
      if (isGone) this.#acknowledged.delete(requestId);
      return undefined;
    }
  }

  /** Whether its time is over, and the code says so. */
  #isGone(requestId: string, code: SwitchgearError['code']): boolean {
    const { watch, clock } = this.#deps;
    const readable = watch?.isReadable(requestId, clock.nowMs() + this.#deps.wallOffsetMs());
    return code === (readable === 'expired' ? 'request-expired' : 'request-not-found') && readable !== 'found';
  }
}
