/**
 * The last step from a valid config to the one the runtime trusts: providers split into active and left out, aliases into
 * candidates that are active, undefined options taken away where their absence is what means "not set".
 */
import { isAbsolute, join } from 'node:path';

import type { ProviderConfig, ResolvedConfig, StoreConfig } from '../contract/config.ts';
import type { KeyVerdict } from './keys.ts';
import { splitCandidate } from './references.ts';
import type { ParsedConfig, ParsedProvider } from './schema.ts';

/** Builds the resolved config. `verdicts` has one for every provider. */
export function buildConfig(
  parsed: ParsedConfig,
  verdicts: ReadonlyMap<string, KeyVerdict>,
  place: { readonly storeDefault: StoreConfig['kind']; readonly folder: string },
): ResolvedConfig {
  const entries = Object.entries(parsed.providers);
  const reasonOf = (name: string) => verdicts.get(name)?.inactiveReason;
  const isActive = ({ provider }: { readonly provider: string }) => reasonOf(provider) === undefined;
  return {
    service: parsed.service,
    defaults: { model: parsed.defaults.model, maxTokens: parsed.defaults.maxTokens },
    log: parsed.log,
    store: buildStore(parsed, place),
    http: parsed.http,
    providers: entries
      .filter(([name]) => reasonOf(name) === undefined)
      .map(([name, provider]) => buildProvider(name, provider, verdicts.get(name)?.credentials ?? [])),
    inactiveProviders: entries.flatMap(([name, provider]) => {
      const reason = reasonOf(name);
      return reason === undefined ? [] : [{ name, reason, models: buildModels(provider) }];
    }),
    models: Object.fromEntries(
      Object.entries(parsed.models).map(([alias, candidates]) => [
        alias,
        candidates.flatMap((candidate) => splitCandidate(candidate) ?? []).filter(isActive),
      ]),
    ),
    ledger: parsed.ledger,
    webhooks: buildWebhooks(parsed),
  };
}

function buildStore(
  { store }: ParsedConfig,
  { storeDefault, folder }: { readonly storeDefault: StoreConfig['kind']; readonly folder: string },
): StoreConfig {
  const { kind = storeDefault, path, resultTtlMs } = store;
  if (kind === 'memory') return { kind, resultTtlMs };
  return { kind, path: isAbsolute(path) ? path : join(folder, path), resultTtlMs };
}

function buildWebhooks({ webhooks }: ParsedConfig): ResolvedConfig['webhooks'] {
  if (webhooks === undefined) return undefined;
  const { secret: secrets, ...rest } = webhooks;
  return { ...rest, secrets };
}

function buildProvider(name: string, parsed: ParsedProvider, credentials: KeyVerdict['credentials']): ProviderConfig {
  const { enabled, apiKey, apiKeys, baseURL, rateLimit, ...rest } = parsed;
  return {
    ...rest,
    name,
    credentials,
    // The SDKs append paths that begin with a slash.
    baseURL: baseURL?.trim().replace(/\/+$/, ''),
    models: buildModels(parsed),
    maxTokens: parsed.maxTokens,
    rateLimit: {
      ...(rateLimit.requestsPerMinute !== undefined && { requestsPerMinute: rateLimit.requestsPerMinute }),
      ...(rateLimit.tokensPerMinute !== undefined && { tokensPerMinute: rateLimit.tokensPerMinute }),
    },
    proxy: parsed.proxy,
  };
}

function buildModels({ models }: ParsedProvider): ProviderConfig['models'] {
  return Object.entries(models).map(([id, { contextWindow, maxOutputTokens, delivery, price }]) => ({
    id,
    ...(contextWindow !== undefined && { contextWindow }),
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(delivery !== undefined && { delivery }),
    ...(price !== undefined && { price: withoutUndefined(price) }),
  }));
}

function withoutUndefined<Value extends object>(
  value: Value,
): { [Key in keyof Value]: Exclude<Value[Key], undefined> } {
  // True because exactly the entries that are undefined are taken away.
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as {
    [Key in keyof Value]: Exclude<Value[Key], undefined>;
  };
}
