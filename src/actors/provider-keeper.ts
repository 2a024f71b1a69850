/**
 * What outlives the process of one provider, and the provider itself when it leaves the config and comes back: the state that
 * was stored last, and the one saver that may write another. The composition root owns it, so that neither a crash of the
 * actor nor a change of the config makes two writers of one name.
 */
import type { Clock } from '../contract/clock.ts';
import type { ProviderConfig } from '../contract/config.ts';
import type { Events } from '../contract/events.ts';
import { admissionOf } from './admission.ts';
import type { Announce } from './announce.ts';
import { isBlocked } from './credentials.ts';
import { restore } from './provider-restore.ts';
import {
  type Fingerprint,
  type Known,
  type SharedMoment,
  SNAPSHOT_VERSION,
  snapshotOf,
  type Urgency,
} from './provider-snapshot.ts';
import { StateSaver } from './state-saver.ts';

export interface ProviderKeeperDeps {
  readonly name: string;
  /** What the last process left; undefined: nothing. */
  readonly stored: unknown;
  readonly clock: Clock;
  /** Epoch ms, steady wall clock. */
  readonly steadyMs: () => number;
  readonly fingerprint: Fingerprint;
  readonly save: (state: unknown) => Promise<void>;
  readonly announce: Announce;
}

export class ProviderKeeper {
  readonly #deps: ProviderKeeperDeps;
  readonly #saver: StateSaver<unknown>;
  #known: (() => Known) | undefined;

  constructor(deps: ProviderKeeperDeps) {
    const { name, stored, clock, save, announce } = deps;
    this.#deps = deps;
    this.#saver = new StateSaver({
      clock,
      read: () => this.#current(),
      identify,
      saved: identify(stored),
      save,
      onFailed: (error) => {
        announce('store.failed', { operation: `save the state of ${name}`, message: String(error) });
      },
    });
  }

  /** What a provider of this name begins with; `isReturning`: it was added while the service ran. */
  begin(config: ProviderConfig, isReturning: boolean): Known {
    const { name, announce, fingerprint } = this.#deps;
    const at = this.#moment();
    const restored = restore(this.#current(), { config, fingerprint, isReturning }, at);
    if (restored.problem !== undefined) announce('state.ignored', { provider: name, reason: restored.problem });
    if (identify(snapshotOf(restored, fingerprint, at)) !== identify(NOTHING))
      announce('provider.restored', describe(name, restored, at.nowMs));
    return restored;
  }

  /** From now on `known` is what is kept, also when the provider has left the config. */
  watch(known: () => Known): void {
    this.#known = known;
    // Deadlines of a clock that was set back were cut; unsaved, each process to come would begin the wait anew.
    if (identify(this.#current()) !== identify(this.#deps.stored)) this.noteChange('soon');
  }

  /** Says that something has changed in what is watched. */
  noteChange(urgency: Urgency): void {
    this.#saver.noteChange(urgency);
  }

  /** Saves the last state. Never rejects. */
  close(): Promise<void> {
    return this.#saver.close();
  }

  #current(): unknown {
    const { stored, fingerprint } = this.#deps;
    return this.#known === undefined ? stored : snapshotOf(this.#known(), fingerprint, this.#moment());
  }

  #moment(): SharedMoment {
    return { nowMs: this.#deps.clock.nowMs(), steadyMs: this.#deps.steadyMs() };
  }
}

const NOTHING = { version: SNAPSHOT_VERSION };

/** Two states that say the same are the same, whenever they were saved. No state says nothing. */
function identify(state: unknown = NOTHING): string {
  return JSON.stringify(typeof state === 'object' ? { ...state, savedAt: undefined } : state);
}

function describe(provider: string, { memory }: Known, nowMs: number): Events['provider.restored'] {
  const admission = admissionOf(memory, '', nowMs);
  const blocked = memory.credentials.filter((credential) => isBlocked(credential, nowMs)).map(({ id }) => id);
  const waitMs = admission.kind === 'wait' ? Math.round(admission.retryAfterMs) : 0;
  return { provider, breaker: memory.breaker, waitMs, blocked };
}
