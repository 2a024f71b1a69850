/**
 * What a provider begins with that left a state behind in another process. Nothing of it is trusted: a field that is not
 * understood is told and left out, a state of another version is left out whole, and no wait is longer than it was when it was
 * saved, nor than the config could have set it. How long a provider asked to be left alone it alone could say.
 */
import type { ProviderConfig } from '../contract/config.ts';
import { openDurationMaxMs } from '../policy/breaker.ts';
import { createCredential, type CredentialMemory } from './credentials.ts';
import { type PaceDebt, type PaceDebts, PacingBuckets } from './pacing-buckets.ts';
import { createProviderMemory, type ProviderMemory, QUARANTINE_MS, QUARANTINED_MAX } from './provider-memory.ts';
import {
  type Fingerprint,
  type Known,
  MODEL_LENGTH_MAX,
  type SharedMoment,
  SNAPSHOT_VERSION,
} from './provider-snapshot.ts';
import { FieldReader } from './snapshot-fields.ts';

const CREDENTIALS_MAX = 1_000;
const TEXT_LENGTH_MAX = 2_000;

/** For whom something is restored. */
export interface RestoreFor {
  readonly config: ProviderConfig;
  readonly fingerprint: Fingerprint;
  /** The provider was added while the service ran: of what was known before, only what is still due concerns it. */
  readonly isReturning: boolean;
}

export interface Restored extends Known {
  /** What of the stored was not understood and left out, in words. */
  readonly problem: string | undefined;
}

/** What a provider begins with that left `stored` behind; undefined: nothing. Never throws. */
export function restore(stored: unknown, owner: RestoreFor, at: SharedMoment): Restored {
  const { config } = owner;
  const fresh = { memory: createProviderMemory(config, at.nowMs), pacing: new PacingBuckets(config.rateLimit) };
  const reader = new FieldReader();
  const fields = reader.fields('the state', stored);
  if (fields !== undefined && fields['version'] !== SNAPSHOT_VERSION)
    reader.reject('version', `${SNAPSHOT_VERSION}`, fields['version']);
  else if (fields !== undefined) {
    const savedAt = reader.time('savedAt', fields['savedAt'] ?? null);
    if (savedAt !== undefined) {
      const restorer = new Restorer(reader, owner, { ...at, savedAt });
      fresh.pacing.owe(restorer.debts(fields['debts']), at.nowMs);
      return { memory: restorer.memory(fresh.memory, fields), pacing: fresh.pacing, problem: reader.problem };
    }
  }
  return { ...fresh, problem: reader.problem };
}

class Restorer {
  readonly #reader: FieldReader;
  readonly #owner: RestoreFor;
  readonly #nowMs: number;
  /** Not before it was saved, whatever the clock says: so no wait is longer than it was then. */
  readonly #steadyMs: number;

  constructor(reader: FieldReader, owner: RestoreFor, at: SharedMoment & { readonly savedAt: number }) {
    this.#reader = reader;
    this.#owner = owner;
    this.#nowMs = at.nowMs;
    this.#steadyMs = Math.max(at.steadyMs, at.savedAt);
  }

  memory(fresh: ProviderMemory, fields: Readonly<Record<string, unknown>>): ProviderMemory {
    const limit = this.#reader.count('limit', fields['limit']);
    const { concurrency } = fresh.config;
    return {
      ...fresh,
      ...this.#breaker(this.#reader.fields('breaker', fields['breaker'])),
      ...(limit !== undefined &&
        !this.#owner.isReturning && { limit: { limit: Math.min(limit, concurrency), successesInRow: 0 } }),
      credentials: this.#credentials(fields['credentials']),
      quarantine: this.#quarantine(fields['quarantine']),
    };
  }

  debts(value: unknown): PaceDebts {
    const fields = this.#reader.fields('debts', value);
    const requests = this.#debt('debts.requests', fields?.['requests']);
    const tokens = this.#debt('debts.tokens', fields?.['tokens']);
    return { ...(requests && { requests }), ...(tokens && { tokens }) };
  }

  /**
   * A probe that was in flight ended with its process. A breaker that is due is half-open from the first moment: whoever asks
   * in the turn that starts the service is its probe, and not refused for the sake of a timer.
   */
  #breaker(fields: Readonly<Record<string, unknown>> | undefined): Partial<ProviderMemory> {
    if (fields === undefined) return {};
    const reader = this.#reader;
    const { state } = fields;
    if (state !== 'open' && state !== 'halfOpen') {
      reader.reject('breaker.state', 'open or halfOpen', state);
      return {};
    }
    const openUntil = reader.time('breaker.openUntil', fields['openUntil'] ?? null);
    if (openUntil === undefined) return {};
    const leftMs = state === 'halfOpen' ? 0 : Math.max(0, this.#leftMs(openUntil));
    if (leftMs === 0 && this.#owner.isReturning) return {};
    return {
      breaker: leftMs > 0 ? 'open' : 'halfOpen',
      openUntilMs: this.#nowMs + Math.min(leftMs, openDurationMaxMs(this.#owner.config.breaker)),
      openingsInRow: reader.count('breaker.openingsInRow', fields['openingsInRow']) ?? 1,
      isForcedProbeUsed: reader.flag('breaker.isForcedProbeUsed', fields['isForcedProbeUsed']),
      openedAt: reader.time('breaker.openedAt', fields['openedAt']),
      openedBecause: reader.text('breaker.openedBecause', fields['openedBecause'], TEXT_LENGTH_MAX),
      lastFailureAt: reader.time('breaker.lastFailureAt', fields['lastFailureAt']),
      lastError: reader.text('breaker.lastError', fields['lastError'], TEXT_LENGTH_MAX),
    };
  }

  /** A key that is not among the stored ones is another key, whatever its place. */
  #credentials(value: unknown): readonly CredentialMemory[] {
    const { config, fingerprint } = this.#owner;
    const stored = this.#reader
      .list('credentials', value, CREDENTIALS_MAX)
      .map((entry, index) => this.#credential(`credentials[${index}]`, entry));
    return config.credentials.map(({ id, apiKey }) => {
      const key = fingerprint(apiKey);
      return { ...createCredential(id, 1), ...stored.find((entry) => entry?.key === key)?.known };
    });
  }

  #credential(
    name: string,
    value: unknown,
  ): { readonly key: string; readonly known: Partial<CredentialMemory> } | undefined {
    const reader = this.#reader;
    const fields = reader.fields(name, value ?? null);
    const key = reader.text(`${name}.key`, fields?.['key'], TEXT_LENGTH_MAX);
    if (fields === undefined || key === undefined) return undefined;
    const heldUntil = reader.time(`${name}.heldUntil`, fields['heldUntil']);
    return {
      key,
      known: {
        ...(heldUntil !== undefined && { heldUntilMs: this.#nowMs + Math.max(0, this.#leftMs(heldUntil)) }),
        ...this.#block(name, fields),
      },
    };
  }

  /** A block whose end cannot be read has ended: it must not become one for good. */
  #block(name: string, fields: Readonly<Record<string, unknown>>): Partial<CredentialMemory> {
    const { blocked, blockedUntil } = fields;
    if (blocked === undefined) return {};
    if (blocked !== 'unauthorized' && blocked !== 'quota-exhausted') {
      this.#reader.reject(`${name}.blocked`, 'unauthorized or quota-exhausted', blocked);
      return {};
    }
    if (blockedUntil === undefined) return { blocked };
    const until = this.#reader.time(`${name}.blockedUntil`, blockedUntil);
    if (until === undefined) return {};
    return { blocked, blockedUntilMs: this.#nowMs + this.#leftMs(until) };
  }

  #quarantine(value: unknown): ProviderMemory['quarantine'] {
    const entries = this.#reader.list('quarantine', value, QUARANTINED_MAX).flatMap((entry, index) => {
      const name = `quarantine[${index}]`;
      const fields = this.#reader.fields(name, entry ?? null);
      const model = this.#reader.text(`${name}.model`, fields?.['model'], MODEL_LENGTH_MAX);
      const until = this.#reader.time(`${name}.until`, fields?.['until']);
      if (model === undefined || until === undefined) return [];
      return [[model, this.#nowMs + Math.min(this.#leftMs(until), QUARANTINE_MS)] as const];
    });
    return Object.fromEntries(entries);
  }

  #debt(name: string, value: unknown): PaceDebt | undefined {
    const fields = this.#reader.fields(name, value);
    const until = this.#reader.time(`${name}.until`, fields?.['until']);
    const perMinute = this.#reader.rate(`${name}.perMinute`, fields?.['perMinute']);
    if (until === undefined || perMinute === undefined) return undefined;
    return { fullAtMs: this.#nowMs + this.#leftMs(until), perMinute };
  }

  #leftMs(until: number): number {
    return until - this.#steadyMs;
  }
}
