/**
 * The life of one supervisor. While it lives it does one thing after another, as a process handles its messages: what is asked
 * for runs when everything asked for before it has ended, however that went. It ends once, and whoever asked is told why.
 */
import { type ExitReason, SupervisorError, tellExit } from './process.ts';

/** What something is still to be done about. Whatever is done instead takes it away. */
export interface Due {
  due: object | undefined;
}

export class Lifespan {
  readonly #name: string;
  readonly #exitListeners = new Set<(reason: ExitReason) => void>();
  #last: Promise<unknown> = Promise.resolve();
  #stopping: Promise<void> | undefined;
  #exit: ExitReason | undefined;
  readonly #killed = new AbortController();

  /** `name` as it stands in sentences. */
  constructor(name: string) {
    this.#name = name;
  }

  /** Aborts when nothing is waited for any more. */
  get killed(): AbortSignal {
    return this.#killed.signal;
  }

  /** From then on nothing is started any more. */
  get isStopping(): boolean {
    return this.#stopping !== undefined;
  }

  /** What comes now comes too late, also to be stopped. */
  get hasEnded(): boolean {
    return this.#exit !== undefined;
  }

  /** @throws {SupervisorError} `stopped` */
  assertRunning(): void {
    if (this.isStopping) throw new SupervisorError('stopped', `${this.#name} is stopping`);
  }

  /** Rejects like `act`. */
  run<Value>(act: () => Value | Promise<Value>): Promise<Value> {
    const turn = this.#last.then(act);
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  /** In a turn of its own, unless something else is done about the subject before, or the supervisor stops. */
  runDue(subject: Due, act: () => void | Promise<void>): void {
    const due = {};
    subject.due = due;
    void this.run(async () => {
      if (subject.due !== due || this.isStopping) return;
      subject.due = undefined;
      await act();
    });
  }

  onExit(listener: (reason: ExitReason) => void): void {
    if (this.#exit === undefined) this.#exitListeners.add(listener);
    else listener(this.#exit);
  }

  offExit(listener: (reason: ExitReason) => void): void {
    this.#exitListeners.delete(listener);
  }

  /** In a turn of its own; `stopAll` never rejects. Idempotent. */
  stop(stopAll: () => Promise<void>): Promise<void> {
    this.#stopping ??= this.run(() => this.#finish(stopAll));
    return this.#stopping;
  }

  /** As `stop`, in the turn that is on. */
  async stopInTurn(stopAll: () => Promise<void>): Promise<void> {
    const finishing = this.#finish(stopAll);
    this.#stopping ??= finishing;
    await finishing;
  }

  /** Waits for nothing, whatever is on. */
  kill(endAll: () => void): void {
    if (this.#exit !== undefined) return;
    this.#exit = { kind: 'killed' };
    this.#stopping ??= Promise.resolve();
    this.#killed.abort();
    endAll();
    tellExit(this.#exitListeners, this.#exit);
  }

  async #finish(stopAll: () => Promise<void>): Promise<void> {
    await stopAll();
    if (this.#exit !== undefined) return;
    this.#exit = { kind: 'shutdown' };
    tellExit(this.#exitListeners, this.#exit);
  }
}
