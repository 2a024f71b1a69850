/** Applies a change of one provider to a config as it was written, so that it is validated like any other config. */
import type { ProviderPatch } from '../contract/service.ts';
import { isPlainObject } from './interpolate.ts';

/** The tree with `patch` merged into `providers.NAME`; sections such as `timeouts` keep what the patch does not name. */
export function patchProvider(tree: unknown, name: string, patch: ProviderPatch): unknown {
  const providers = isPlainObject(tree) && isPlainObject(tree['providers']) ? tree['providers'] : {};
  const before = isPlainObject(providers[name]) ? providers[name] : {};
  const merged = Object.entries(patch).reduce<Record<string, unknown>>(
    (provider, [key, value]) => {
      const known = provider[key];
      return { ...provider, [key]: isPlainObject(known) && isPlainObject(value) ? { ...known, ...value } : value };
    },
    withoutReplacedKeys(before, patch),
  );
  return { ...(isPlainObject(tree) ? tree : {}), providers: { ...providers, [name]: merged } };
}

/** `apiKey` and `apiKeys` stand for each other: giving one replaces the other. */
function withoutReplacedKeys(provider: Record<string, unknown>, patch: ProviderPatch): Record<string, unknown> {
  if (patch.apiKey === undefined && patch.apiKeys === undefined) return provider;
  const { apiKey: _key, apiKeys: _keys, ...rest } = provider;
  return rest;
}
