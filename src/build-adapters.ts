/**
 * Which adapter stands behind which name. Building one is also where the `options` of its provider are judged, which nobody
 * else understands; so all adapters of a config are built before anything is started, and every mistake is told at once.
 */
import { createAnthropicAdapter } from './adapters/anthropic/anthropic.ts';
import { createMockAdapter } from './adapters/mock/mock.ts';
import { createOpenaiAdapter } from './adapters/openai/openai.ts';
import { invalidConfig } from './config/problems.ts';
import type { Adapter, AdapterDeps, CreateAdapter } from './contract/adapter.ts';
import type { ConfigProblem, ProviderConfig } from './contract/config.ts';
import { SwitchgearError } from './contract/errors.ts';

/** What building needs besides the config. */
export interface AdapterParts extends AdapterDeps {
  /** A user's own, by the name that the config calls them. */
  readonly adapters: Readonly<Record<string, CreateAdapter>>;
}

const BUILT_IN: Readonly<Record<string, CreateAdapter>> = {
  openai: createOpenaiAdapter,
  anthropic: createAnthropicAdapter,
  mock: createMockAdapter,
};

/**
 * Builds the adapter of each of these providers, by the provider's name. Nothing is connected yet. `source` is what to call
 * the config in errors.
 * @throws {SwitchgearError} `invalid-config` that names every mistake
 */
export function buildAdapters(
  configs: readonly ProviderConfig[],
  parts: AdapterParts,
  source: string,
): ReadonlyMap<string, Adapter> {
  const { built, problems } = tryBuild(configs, parts);
  if (problems.length > 0) throw invalidConfig(source, problems);
  return built;
}

/** Every mistake under the `options` of these providers. */
export function findOptionProblems(configs: readonly ProviderConfig[], parts: AdapterParts): readonly ConfigProblem[] {
  return tryBuild(configs, parts).problems;
}

interface Building {
  readonly built: ReadonlyMap<string, Adapter>;
  readonly problems: readonly ConfigProblem[];
}

function tryBuild(configs: readonly ProviderConfig[], { adapters, ...deps }: AdapterParts): Building {
  const built = new Map<string, Adapter>();
  const problems: ConfigProblem[] = [];
  for (const config of configs) {
    try {
      built.set(config.name, createAdapter(config, { ...BUILT_IN, ...adapters }, deps));
    } catch (error) {
      if (!(error instanceof SwitchgearError) || error.code !== 'invalid-config') throw error;
      problems.push(...problemsOf(error, config.name));
    }
  }
  return { built, problems };
}

function createAdapter(
  config: ProviderConfig,
  known: Readonly<Record<string, CreateAdapter>>,
  deps: AdapterDeps,
): Adapter {
  const create = Object.hasOwn(known, config.adapter) ? known[config.adapter] : undefined;
  if (create === undefined) {
    const param = `providers.${config.name}.adapter`;
    throw new SwitchgearError('invalid-config', `expected a known adapter, got: ${config.adapter}`, { param });
  }
  return create(config, deps);
}

/** Our own adapters list their mistakes; one of a user may tell them in any way. */
function problemsOf({ cause, message, param }: SwitchgearError, provider: string): readonly ConfigProblem[] {
  const listed = typeof cause === 'object' && cause !== null && 'problems' in cause ? cause.problems : undefined;
  if (Array.isArray(listed) && listed.length > 0 && listed.every(isProblem)) return listed;
  return [{ path: param ?? `providers.${provider}`, message }];
}

function isProblem(value: unknown): value is ConfigProblem {
  if (typeof value !== 'object' || value === null || !('path' in value) || !('message' in value)) return false;
  return typeof value.path === 'string' && typeof value.message === 'string';
}
