/** What a reload changes: which providers came, went or are configured otherwise. */
import { isDeepStrictEqual } from 'node:util';

import type { ResolvedConfig } from '../contract/config.ts';

export interface ConfigDiff {
  /** Names of providers, in the order of the config they are taken from. */
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
}

/** Compares two configs. A provider whose key changed is `changed`; one that lost its key is `removed`. */
export function diffConfig(before: ResolvedConfig, after: ResolvedConfig): ConfigDiff {
  const earlier = new Map(before.providers.map((provider) => [provider.name, provider]));
  const later = new Map(after.providers.map((provider) => [provider.name, provider]));
  const kept = after.providers.filter(({ name }) => earlier.has(name));
  return {
    added: after.providers.map(({ name }) => name).filter((name) => !earlier.has(name)),
    removed: before.providers.map(({ name }) => name).filter((name) => !later.has(name)),
    changed: kept
      .filter((provider) => !isDeepStrictEqual(provider, earlier.get(provider.name)))
      .map(({ name }) => name),
  };
}
