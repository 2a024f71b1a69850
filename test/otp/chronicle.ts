/** Writes down what happens to the processes of a replayed tree, in the words of the recordings, and knows who is alive. */
import type { ExitReason, Process } from '../../src/supervision/process.ts';
import type { Outcome } from './script.ts';

export class Chronicle {
  readonly #attempts = new Map<string, number>();
  readonly #latest = new Map<string, Process>();
  readonly #living = new Set<Process>();
  #events: string[] = [];
  #asked: string[] = [];
  #gaveUp: string[] = [];

  /** The number of an attempt to start that begins now. */
  begin(path: string): number {
    const attempt = (this.#attempts.get(path) ?? 0) + 1;
    this.#attempts.set(path, attempt);
    return attempt;
  }

  started(path: string, attempt: number, process: Process): void {
    this.#latest.set(path, process);
    this.#living.add(process);
    this.#events.push(`+ ${path} ${attempt}`);
    process.onExit((reason) => {
      this.#living.delete(process);
      this.#events.push(`- ${path} ${attempt} ${reasonText(reason)}`);
    });
  }

  failed(path: string, attempt: number): void {
    this.#events.push(`! ${path} ${attempt}`);
  }

  ignored(path: string, attempt: number): void {
    this.#events.push(`~ ${path} ${attempt}`);
  }

  gaveUp(path: string): void {
    this.#gaveUp.push(path);
  }

  asked(answer: string): void {
    this.#asked.push(answer);
  }

  /** The process that was started last on this path, dead or alive. */
  last(path: string): Process | undefined {
    return this.#latest.get(path);
  }

  /** The living process of this path. */
  find(path: string): Process | undefined {
    const process = this.#latest.get(path);
    return process !== undefined && this.#living.has(process) ? process : undefined;
  }

  get livingCount(): number {
    return this.#living.size;
  }

  /** Everything since this was called last. */
  take(answer: string): Required<Outcome> {
    const outcome = { answer, events: this.#events, asked: this.#asked, gaveUp: this.#gaveUp };
    this.#events = [];
    this.#asked = [];
    this.#gaveUp = [];
    return outcome;
  }
}

function reasonText(reason: ExitReason): string {
  // Scripts know no detail but this one.
  return reason.kind === 'shutdown' && reason.detail === 'x' ? 'shutdown:x' : reason.kind;
}
