/**
 * What no single field can tell: whether names are free to use and whether everything that is referred to exists. It reads
 * the config before it is known to be valid, so that these mistakes are told together with those of the schema.
 */
import { isKnownModel } from '../catalogue/catalogue.ts';
import { isFirstParty } from '../catalogue/vendor.ts';
import type { AliasCandidate, ConfigProblem } from '../contract/config.ts';
import { isPlainObject } from './interpolate.ts';
import { describe } from './problems.ts';
import { didYouMean } from './suggest.ts';

/** The adapters that are part of this package. */
const BUILT_IN_ADAPTERS: readonly string[] = ['openai', 'anthropic', 'mock'];

/** Names of actors, which providers share a tree with. */
const RESERVED_NAMES: readonly string[] = ['service', 'supervisor', 'providers', 'cost-tracker', 'health-monitor'];

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Finds every name and reference that cannot stand. */
export function referenceProblems(tree: unknown, adapterNames: readonly string[]): readonly ConfigProblem[] {
  const config = mapOf(tree);
  const providers = mapOf(config['providers']);
  const aliases = mapOf(config['models']);
  const adapters = [...BUILT_IN_ADAPTERS, ...adapterNames];
  return [
    // What is no map at all is the schema's mistake to tell.
    ...(isPlainObject(config['providers']) && Object.keys(providers).length === 0
      ? [{ path: 'providers', message: 'expected at least one provider, got: none' }]
      : []),
    ...Object.entries(providers).flatMap(([name, provider]) => providerProblems(name, mapOf(provider), adapters)),
    ...Object.entries(aliases).flatMap(([name, candidates]) => aliasProblems(name, candidates, providers, aliases)),
    ...defaultModelProblems(mapOf(config['defaults'])['model'], providers, aliases),
  ];
}

/** Splits `provider/model` at the first slash; the rest may hold slashes. */
export function splitCandidate(candidate: string): AliasCandidate | undefined {
  const slash = candidate.indexOf('/');
  if (slash < 1 || slash === candidate.length - 1) return undefined;
  return { provider: candidate.slice(0, slash), model: candidate.slice(slash + 1) };
}

function mapOf(value: unknown): Readonly<Record<string, unknown>> {
  return isPlainObject(value) ? value : {};
}

function providerProblems(
  name: string,
  provider: Readonly<Record<string, unknown>>,
  adapters: readonly string[],
): readonly ConfigProblem[] {
  const path = `providers.${name}`;
  const problems: ConfigProblem[] = [];
  if (!NAME.test(name)) {
    problems.push({
      path,
      message: `expected a name of up to 64 letters, digits, ".", "_" and "-", got: ${describe(name)}`,
    });
  }
  if (RESERVED_NAMES.includes(name)) {
    problems.push({ path, message: `expected a name other than ${RESERVED_NAMES.join(', ')}, got: "${name}"` });
  }
  const adapter = provider['adapter'];
  if (typeof adapter === 'string' && adapter.trim() !== '' && !adapters.includes(adapter)) {
    const message = `expected one of ${adapters.join(', ')}, got: ${describe(adapter)}${didYouMean(adapter, adapters)}`;
    problems.push({
      path: `${path}.adapter`,
      message: `${message}; an adapter of your own is given to startService in \`adapters\``,
    });
  }
  const models = provider['models'];
  if (Array.isArray(models)) problems.push(...repetitions(models, `${path}.models`));
  return problems;
}

function repetitions(values: readonly unknown[], path: string): readonly ConfigProblem[] {
  return values.flatMap((value, index) =>
    typeof value === 'string' && values.indexOf(value) !== index
      ? [{ path: `${path}.${index}`, message: `expected every model once, got: ${describe(value)} again` }]
      : [],
  );
}

function aliasProblems(
  name: string,
  candidates: unknown,
  providers: Readonly<Record<string, unknown>>,
  aliases: Readonly<Record<string, unknown>>,
): readonly ConfigProblem[] {
  const path = `models.${name}`;
  const problems: ConfigProblem[] = [];
  if (!/^[^\s/,]{1,200}$/.test(name) || name === 'none') {
    problems.push({
      path,
      message: `expected an alias without "/", "," or spaces, and not "none", got: ${describe(name)}`,
    });
  }
  if (Object.hasOwn(providers, name)) {
    problems.push({ path, message: `expected an alias that is not the name of a provider, got: "${name}"` });
  }
  if (!Array.isArray(candidates)) return problems;
  if (candidates.length === 0) problems.push({ path, message: 'expected at least one candidate, got: an empty list' });
  for (const [index, candidate] of candidates.entries()) {
    const message =
      typeof candidate === 'string' && candidate !== '' ? candidateProblem(candidate, providers, aliases) : undefined;
    if (message !== undefined) problems.push({ path: `${path}.${index}`, message });
  }
  return [...problems, ...repetitions(candidates, path)];
}

function candidateProblem(
  candidate: string,
  providers: Readonly<Record<string, unknown>>,
  aliases: Readonly<Record<string, unknown>>,
): string | undefined {
  const target = splitCandidate(candidate);
  if (target === undefined) {
    const why = Object.hasOwn(aliases, candidate) ? '; an alias cannot refer to another alias' : '';
    return `expected provider/model, got: ${describe(candidate)}${why}`;
  }
  if (!Object.hasOwn(providers, target.provider)) {
    const names = Object.keys(providers);
    return `expected the provider to be configured (${names.join(', ')}), got: ${describe(target.provider)}${didYouMean(target.provider, names)}`;
  }
  const listed = listedModels(providers[target.provider]);
  if (listed.length === 0 || listed.includes(target.model)) return undefined;
  return `expected a model that provider ${target.provider} lists, got: ${describe(target.model)}${didYouMean(target.model, listed)}`;
}

function listedModels(provider: unknown): readonly string[] {
  const models = mapOf(provider)['models'];
  if (Array.isArray(models)) return models.filter((model) => typeof model === 'string');
  return Object.keys(mapOf(models));
}

function defaultModelProblems(
  model: unknown,
  providers: Readonly<Record<string, unknown>>,
  aliases: Readonly<Record<string, unknown>>,
): readonly ConfigProblem[] {
  if (typeof model !== 'string' || model.trim() === '' || Object.hasOwn(aliases, model)) return [];
  const target = splitCandidate(model);
  const isPinned = target !== undefined && Object.hasOwn(providers, target.provider);
  const problem = isPinned ? candidateProblem(model, providers, aliases) : undefined;
  if (isPinned && problem === undefined) return [];
  if (!isPinned && Object.values(providers).some((provider) => servesModel(mapOf(provider), model))) return [];
  const names = [...Object.keys(aliases), ...Object.values(providers).flatMap(listedModels)];
  const message =
    problem ??
    `expected an alias, provider/model or a model that some provider serves, got: ${describe(model)}${didYouMean(model, names)}`;
  return [{ path: 'defaults.model', message }];
}

/** The same rule as `Catalogue.serves`, for a provider that may yet turn out to be invalid. */
function servesModel(provider: Readonly<Record<string, unknown>>, model: string): boolean {
  const listed = listedModels(provider);
  if (listed.length > 0) return listed.includes(model);
  const { adapter, baseURL } = provider;
  if (typeof adapter !== 'string' || (typeof baseURL !== 'string' && baseURL !== undefined)) return false;
  return isFirstParty({ adapter, baseURL }) && isKnownModel(adapter, model);
}
