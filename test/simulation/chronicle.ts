/**
 * What happened in one run: every line goes into the hash that makes two runs comparable, the last ones are kept for whoever
 * has to understand a failure, and each kind of thing that happened is counted.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../src/contract/clock.ts';

const LINES_KEPT = 300;

export interface Violation {
  readonly atMs: number;
  /** Which promise it breaks. */
  readonly rule: string;
  readonly message: string;
}

export class Chronicle {
  readonly violations: Violation[] = [];
  readonly counts = new Map<string, number>();
  readonly #clock: Clock;
  readonly #hash = createHash('sha256');
  readonly #lines: string[] = [];
  readonly #print: ((line: string) => void) | undefined;

  constructor(clock: Clock, print?: (line: string) => void) {
    this.#clock = clock;
    this.#print = print;
  }

  note(line: string): void {
    const whole = `${this.#clock.nowMs().toFixed(3)} ${line}`;
    this.#hash.update(whole);
    this.#print?.(whole);
    this.#lines.push(whole);
    if (this.#lines.length > 2 * LINES_KEPT) this.#lines.splice(0, LINES_KEPT);
  }

  /** Counts one more of a kind of thing, for the report of what was covered. */
  count(kind: string): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
  }

  /** Notes that a promise is broken unless `holds`. */
  expect(holds: boolean, rule: string, message: () => string): void {
    if (holds) return;
    const violation = { atMs: this.#clock.nowMs(), rule, message: message() };
    this.violations.push(violation);
    this.note(`VIOLATION ${rule}: ${violation.message}`);
  }

  /** The last lines, oldest first. */
  get lastLines(): readonly string[] {
    return this.#lines.slice(-LINES_KEPT);
  }

  digest(): string {
    return this.#hash.copy().digest('hex');
  }
}
