/** A few lines of a terminal that are drawn again in place; without a terminal, a line now and then. */
import type { Output } from '../shell.ts';

const PLAIN_INTERVAL = 20;
const COLUMNS_DEFAULT = 80;

export class LiveBlock {
  readonly #output: Output;
  #drawn = 0;
  #frames = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  /** Draws `lines` over the ones drawn before. `plain` is what a pipe gets instead, every twentieth time. */
  async draw(lines: readonly string[], plain: string): Promise<void> {
    this.#frames += 1;
    if (!this.#output.isTerminal) {
      if (this.#frames % PLAIN_INTERVAL === 1) await this.#output.write(`${plain}\n`);
      return;
    }
    const up = this.#drawn === 0 ? '' : `\u001b[${this.#drawn}A\u001b[J`;
    this.#drawn = lines.length;
    // A line that wraps would be two lines, and the next frame would be drawn in the wrong place.
    const width = this.#output.columns ?? COLUMNS_DEFAULT;
    await this.#output.write(`${up}${lines.map((line) => line.slice(0, width - 1)).join('\n')}\n`);
  }
}
