/** What the demo remembers of its requests and of the service's events, for the screen and for the report. */
import type { Service } from '../../contract/service.ts';
import type { Priority } from '../../contract/request.ts';
import type { CompletionResponse } from '../../contract/response.ts';

export interface Happening {
  readonly atMs: number;
  readonly text: string;
}

export interface Answer {
  readonly priority: Priority;
  readonly provider: string;
  readonly totalMs: number;
  readonly attempts: number;
}

export class Tally {
  readonly #startedAtMs: number;
  readonly #now: () => number;
  readonly answers: Answer[] = [];
  readonly errors: string[] = [];
  readonly happenings: Happening[] = [];
  sent = 0;

  constructor(now: () => number) {
    this.#now = now;
    this.#startedAtMs = now();
  }

  get elapsedMs(): number {
    return this.#now() - this.#startedAtMs;
  }

  /** Answered or failed. */
  get settled(): number {
    return this.answers.length + this.errors.length;
  }

  /** Answers that another provider gave after the first one had failed the request. */
  get rescued(): number {
    return this.answers.filter((answer) => answer.attempts > 1).length;
  }

  answersOf(provider: string): number {
    return this.answers.filter((answer) => answer.provider === provider).length;
  }

  note(text: string): void {
    this.happenings.push({ atMs: this.elapsedMs, text });
  }

  answered(priority: Priority, response: CompletionResponse): void {
    const { provider, latency, attempts } = response;
    this.answers.push({ priority, provider, totalMs: latency.totalMs, attempts: attempts.length });
  }

  failed(error: unknown): void {
    this.errors.push(error instanceof Error ? error.message : String(error));
  }

  /** Writes the breakers' transitions into the timeline. */
  watch(service: Service): void {
    service.on('breaker.opened', ({ provider, reason }) => {
      this.note(`breaker of ${provider} opens: ${reason}`);
    });
    service.on('breaker.halfOpened', ({ provider }) => {
      this.note(`breaker of ${provider} half-open: one probe at a time`);
    });
    service.on('breaker.closed', ({ provider }) => {
      this.note(`breaker of ${provider} closes: traffic ramps up again`);
    });
  }
}
