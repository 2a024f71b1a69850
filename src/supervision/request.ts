/** A question to an actor whose answer is fetched later, or never: OTP's `send_request` and what goes with it. */
import type { Clock } from '../contract/clock.ts';
import type { SupervisorError } from './process.ts';

export type Answer<Value> =
  | { readonly kind: 'reply'; readonly value: Value }
  | { readonly kind: 'error'; readonly error: SupervisorError }
  /** It was given up before an answer came. */
  | { readonly kind: 'abandoned' };

/** Asks, and tells the answer once; gives a function that takes the question back. */
export type Ask<Value> = (settle: (answer: Answer<Value>) => void) => () => void;

export class Request<Value> {
  readonly #clock: Clock;
  readonly #answer = Promise.withResolvers<Answer<Value>>();
  readonly #withdraw: () => void;

  constructor(clock: Clock, ask: Ask<Value>) {
    this.#clock = clock;
    this.#withdraw = ask(this.#answer.resolve);
  }

  /** The answer, or `timeout` after `timeoutMs`: then the request lives on, and a later wait may still get it. */
  wait(timeoutMs: number): Promise<Answer<Value> | { readonly kind: 'timeout' }> {
    return new Promise((resolve) => {
      const timer = this.#clock.setTimeout(() => {
        resolve({ kind: 'timeout' });
      }, timeoutMs);
      void this.#answer.promise.then((answer) => {
        this.#clock.clearTimeout(timer);
        resolve(answer);
      });
    });
  }

  /** As `wait`, but nothing comes of the request after a timeout. */
  async receive(timeoutMs: number): Promise<Answer<Value> | { readonly kind: 'timeout' }> {
    const answer = await this.wait(timeoutMs);
    if (answer.kind === 'timeout') this.abandon();
    return answer;
  }

  /** Nobody wants the answer any more; what waits in the mailbox for it is taken back. */
  abandon(): void {
    this.#withdraw();
    this.#answer.resolve({ kind: 'abandoned' });
  }
}
