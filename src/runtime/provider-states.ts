/**
 * What all providers leave to the next process: the states that the store held at the start, and a keeper for each provider
 * that runs or ever ran. A store that cannot be read costs what it knew and nothing else.
 */
import { createHash } from 'node:crypto';
import type { Announce } from '../actors/announce.ts';
import { ProviderKeeper } from '../actors/provider-keeper.ts';
import type { Clock } from '../contract/clock.ts';
import type { StateStore } from '../contract/storage.ts';
import { askStore } from './ask-store.ts';

/** Hexadecimal digits of a fingerprint: enough to tell keys apart. */
const FINGERPRINT_LENGTH = 16;

export interface ProviderStatesDeps {
  readonly store: StateStore;
  readonly clock: Clock;
  /** Epoch ms, steady wall clock. */
  readonly steadyMs: () => number;
  readonly announce: Announce;
}

export class ProviderStates {
  readonly #deps: ProviderStatesDeps;
  readonly #keepers = new Map<string, ProviderKeeper>();

  constructor(deps: ProviderStatesDeps) {
    this.#deps = deps;
  }

  /** Reads what the last process left, once and before anything else. Never rejects. */
  async load(): Promise<void> {
    const { store, clock, announce } = this.#deps;
    try {
      const states = await askStore(clock, store.load());
      for (const [name, stored] of Object.entries(states)) this.#keepers.set(name, this.#create(name, stored));
    } catch (error) {
      announce('store.failed', { operation: 'load the states of providers', message: String(error) });
    }
  }

  /** The keeper of the provider `name`, now and when it comes back. */
  keeper(name: string): ProviderKeeper {
    const keeper = this.#keepers.get(name) ?? this.#create(name, undefined);
    this.#keepers.set(name, keeper);
    return keeper;
  }

  /** Saves the last state of every provider. Never rejects. */
  async close(): Promise<void> {
    await Promise.all([...this.#keepers.values()].map((keeper) => keeper.close()));
  }

  #create(name: string, stored: unknown): ProviderKeeper {
    const { store, clock, steadyMs, announce } = this.#deps;
    return new ProviderKeeper({
      name,
      stored,
      clock,
      steadyMs,
      fingerprint: (apiKey = '') => fingerprintOf(name, apiKey),
      save: (state) => store.save(name, state),
      announce,
    });
  }
}

/** Tells whether a key is the same without telling the key; two providers with one key have two fingerprints. */
function fingerprintOf(provider: string, apiKey: string): string {
  return createHash('sha256').update(`${provider}\n${apiKey}`).digest('hex').slice(0, FINGERPRINT_LENGTH);
}
