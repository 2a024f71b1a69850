/** Chance for simulations: one stream of numbers for each purpose, so that drawing more in one place shifts no other. */
import { createRandom } from '../../src/simulator/random.ts';

export class Dice {
  readonly #name: string;
  readonly #random: () => number;

  constructor(name: string) {
    this.#name = name;
    this.#random = createRandom(hashName(name));
  }

  /** An independent stream. */
  fork(name: string): Dice {
    return new Dice(`${this.#name}/${name}`);
  }

  chance(probability: number): boolean {
    return this.#random() < probability;
  }

  between(min: number, max: number): number {
    return min + this.#random() * (max - min);
  }

  /** Both ends included. */
  integer(min: number, max: number): number {
    return Math.floor(this.between(min, max + 1));
  }

  /** Every order of magnitude is as likely as any other. */
  logUniform(min: number, max: number): number {
    return Math.exp(this.between(Math.log(min), Math.log(max)));
  }

  /** The gap between two independent arrivals. */
  exponential(mean: number): number {
    return -Math.log(1 - this.#random()) * mean;
  }

  pick<Value>(values: readonly Value[]): Value {
    if (values.length === 0) throw new TypeError('expected something to pick from, got: an empty list');
    // The index is within the list, whose values may be undefined themselves.
    return values[Math.floor(this.#random() * values.length)] as Value;
  }

  weighted<Value extends string>(weights: Readonly<Partial<Record<Value, number>>>): Value {
    // The keys of a record of `Value`s are `Value`s.
    const entries = Object.entries(weights) as [Value, number][];
    let left = this.between(
      0,
      entries.reduce((sum, [, weight]) => sum + weight, 0),
    );
    for (const [value, weight] of entries) {
      left -= weight;
      if (left < 0) return value;
    }
    return this.pick(entries)[0];
  }
}

/** FNV-1a, 32 bits. */
function hashName(name: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < name.length; index++) hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}
