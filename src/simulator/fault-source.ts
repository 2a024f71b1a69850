/**
 * Which fault spoils which request. The strongest comes first: the switch, an outage on the schedule, the model's name,
 * the script, chance. Switch and outages hit every address; the others only what asks a model.
 */
import { parseFault, type Fault } from './faults.ts';

/** A period in ms since the start. */
export interface Outage {
  readonly fromMs: number;
  readonly toMs: number;
  readonly fault: Fault | null;
}

export interface FailureRate {
  readonly rate: number;
  readonly fault: Fault | null;
}

/** Gives each request its fault. */
export class FaultSource {
  readonly #random: () => number;
  #switch: { readonly fault: Fault; readonly untilMs: number } | undefined;
  #outages: readonly Outage[] = [];
  #script: readonly (Fault | null)[] = [];
  #position = 0;
  #failures: readonly FailureRate[] = [];

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Turns a fault on for everything until `untilMs`, or off. */
  turn(fault: Fault | null, untilMs: number): void {
    this.#switch = fault === null ? undefined : { fault, untilMs };
  }

  plan(outages: readonly Outage[]): void {
    this.#outages = outages;
  }

  /** Starts a script from its first entry. */
  follow(script: readonly (Fault | null)[]): void {
    this.#script = script;
    this.#position = 0;
  }

  fail(failures: readonly FailureRate[]): void {
    this.#failures = failures;
  }

  /** The fault of the whole upstream at `atMs`. */
  ofUpstream(atMs: number): Fault | undefined {
    if (this.#switch !== undefined && atMs < this.#switch.untilMs) return this.#switch.fault;
    return this.#outages.find(({ fromMs, toMs }) => fromMs <= atMs && atMs < toMs)?.fault ?? undefined;
  }

  /** Takes the fault of one completion or embedding. */
  takeFor(model: string): Fault | undefined {
    const named = parseFault(model);
    if (named.kind === 'fault') return named.fault;
    if (this.#position < this.#script.length) return this.#script[this.#position++] ?? undefined;
    return this.#draw();
  }

  #draw(): Fault | undefined {
    if (this.#failures.length === 0) return undefined;
    let left = this.#random();
    for (const { rate, fault } of this.#failures) {
      if (left < rate) return fault ?? undefined;
      left -= rate;
    }
    return undefined;
  }
}
