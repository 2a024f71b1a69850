/**
 * From a model name to the candidates it stands for. A name is an alias, else `provider/model` when its first segment is a
 * provider (the rest may hold slashes), else a model id, tried at every provider that lists it in order of priority.
 */
import type { Catalogue } from '../contract/catalogue.ts';
import type { AliasCandidate, ProviderConfig, ResolvedConfig } from '../contract/config.ts';

export interface Candidate extends AliasCandidate {
  /** How the caller named it. */
  readonly origin: 'alias' | 'pin' | 'model' | 'fallback';
}

export type Resolution =
  | { readonly kind: 'candidates'; readonly candidates: readonly Candidate[] }
  /** `known` are names that would have worked, for the error message. */
  | { readonly kind: 'unknown'; readonly model: string; readonly known: readonly string[] };

export type ResolveConfig = Pick<ResolvedConfig, 'providers' | 'inactiveProviders' | 'models'>;
/** What is known of which provider serves which model. */
export type ServedModels = Pick<Catalogue, 'serves' | 'accepts'>;

/** Candidates of `model` and then of `fallbacks`, each once. `[]` and `none` leave the first candidate only. */
export function resolveCandidates(
  config: ResolveConfig,
  served: ServedModels,
  model: string,
  fallbacks: readonly string[] | 'none' | undefined,
): Resolution {
  const own = resolveName(config, served, model);
  if (own === undefined) return { kind: 'unknown', model, known: knownNames(config) };
  if (fallbacks === undefined) return { kind: 'candidates', candidates: own };
  if (fallbacks === 'none' || fallbacks.length === 0) return { kind: 'candidates', candidates: own.slice(0, 1) };
  const all = [...own];
  for (const name of fallbacks) {
    const resolved = resolveName(config, served, name);
    if (resolved === undefined) return { kind: 'unknown', model: name, known: knownNames(config) };
    for (const candidate of resolved) {
      if (!all.some((known) => known.provider === candidate.provider && known.model === candidate.model)) {
        all.push({ ...candidate, origin: 'fallback' });
      }
    }
  }
  return { kind: 'candidates', candidates: all };
}

function resolveName(config: ResolveConfig, served: ServedModels, name: string): readonly Candidate[] | undefined {
  const alias = Object.hasOwn(config.models, name) ? config.models[name] : undefined;
  if (alias !== undefined) return alias.map((candidate) => ({ ...candidate, origin: 'alias' }));
  return resolvePin(config, served, name) ?? resolveModel(config, served, name);
}

function resolvePin(config: ResolveConfig, served: ServedModels, name: string): readonly Candidate[] | undefined {
  const slash = name.indexOf('/');
  if (slash <= 0 || slash === name.length - 1) return undefined;
  const provider = name.slice(0, slash);
  const model = name.slice(slash + 1);
  const pinned: readonly Candidate[] = [{ provider, model, origin: 'pin' }];
  if (config.providers.some((known) => known.name === provider))
    return served.accepts(provider, model) ? pinned : undefined;
  const inactive = config.inactiveProviders.find((known) => known.name === provider);
  if (inactive === undefined) return undefined;
  return inactive.models.length === 0 || inactive.models.some((known) => known.id === model) ? pinned : undefined;
}

function resolveModel(config: ResolveConfig, served: ServedModels, name: string): readonly Candidate[] | undefined {
  const listing = config.providers.filter((provider) => served.serves(provider.name, name));
  if (listing.length > 0) {
    return byPriority(listing).map((provider) => ({ provider: provider.name, model: name, origin: 'model' }));
  }
  const inactive = config.inactiveProviders.filter((provider) => provider.models.some((model) => model.id === name));
  if (inactive.length === 0) return undefined;
  return inactive.map((provider) => ({ provider: provider.name, model: name, origin: 'model' }));
}

function byPriority(providers: readonly ProviderConfig[]): readonly ProviderConfig[] {
  return providers.toSorted((left, right) => left.priority - right.priority);
}

function knownNames(config: ResolveConfig): readonly string[] {
  const models = config.providers.flatMap((provider) => provider.models.map((model) => `${provider.name}/${model.id}`));
  return [...Object.keys(config.models), ...models];
}
