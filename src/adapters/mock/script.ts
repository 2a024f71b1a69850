/**
 * Which step answers a request: a failure by chance, else the first rule that matches the last user message, else the
 * next step of the script, else the default. The script's position is the mock's only state.
 */
import type { ParsedCompletion } from '../../contract/request.ts';
import { readLastUserText } from './answer.ts';
import type { MockFailureOption, MockOptions, MockOutcome, MockStep } from './options.ts';

/** Gives steps and outcomes in their order. */
export class MockScript {
  readonly #options: MockOptions;
  readonly #random: () => number;
  readonly #matchers: readonly ((prompt: string) => boolean)[];
  #position = 0;
  readonly #outcomePositions = { check: 0, embed: 0 };

  constructor(options: MockOptions, random: () => number) {
    this.#options = options;
    this.#random = random;
    this.#matchers = options.rules.map(({ match }) => {
      if (typeof match === 'string') return (prompt) => prompt.includes(match);
      const pattern = new RegExp(match.pattern, match.flags);
      return (prompt) => pattern.test(prompt);
    });
  }

  /** Takes the step for one completion; undefined: the echo answers. */
  takeStep(request: ParsedCompletion): MockStep | undefined {
    const failure = this.#drawFailure();
    if (failure !== undefined) return { failure };
    const prompt = readLastUserText(request.messages);
    const rule = this.#matchers.findIndex((matches) => matches(prompt));
    return this.#options.rules[rule]?.step ?? this.#takeScripted() ?? this.#options.default;
  }

  /** Takes the outcome of one check or embedding; undefined: it succeeds. */
  takeOutcome(of: 'check' | 'embed'): MockFailureOption | undefined {
    const outcomes = this.#options[of];
    const outcome: MockOutcome | undefined = Array.isArray(outcomes)
      ? outcomes[this.#outcomePositions[of]++]
      : outcomes;
    return outcome === 'ok' ? undefined : outcome;
  }

  #takeScripted(): MockStep | undefined {
    const { script, repeat } = this.#options;
    if (repeat && this.#position >= script.length) this.#position = 0;
    return script[this.#position++];
  }

  /** One draw decides between all failures, so that their rates add up. */
  #drawFailure(): MockFailureOption | undefined {
    if (this.#options.failures.length === 0) return undefined;
    let left = this.#random();
    for (const { rate, failure } of this.#options.failures) {
      if (left < rate) return failure;
      left -= rate;
    }
    return undefined;
  }
}
