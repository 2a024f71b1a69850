/**
 * From what people write to what the runtime trusts. `checkConfig` finds every mistake at once, in the schema and across
 * it; `resolveConfig` throws them as one `invalid-config` error. The result has every default filled in, holds only what
 * is active, and is frozen all the way down. Nothing here reads a file, the environment or a clock.
 */
import type { ConfigProblem, ResolvedConfig, StoreConfig } from '../contract/config.ts';
import { buildConfig } from './build.ts';
import { deepFreeze } from './freeze.ts';
import { interpolate, isPlainObject, type ConfigPath, type Environment } from './interpolate.ts';
import { judgeKeys, type KeyVerdict } from './keys.ts';
import { isLoopback } from './loopback.ts';
import { invalidConfig, problemsOf, scrub, secretsOf } from './problems.ts';
import { referenceProblems } from './references.ts';
import { configSchema, type ParsedConfig } from './schema.ts';

/** What a config is read against. */
export interface ConfigContext {
  /** Where `${NAME}` comes from, usually `process.env`. */
  readonly env: Environment;
  /** Names of adapters given to `startService`, valid beside the built-in ones. */
  readonly adapterNames?: readonly string[];
  /** The kind of store where the config names none. Default `memory`. */
  readonly storeDefault?: StoreConfig['kind'];
  /** What relative paths in the config are relative to. Default: where the process was started. */
  readonly folder?: string;
  /** What to call the config in errors. Default `the config`. */
  readonly source?: string;
}

/** A valid config, with lines for the log: notices say what was left out, warnings what looks wrong but may be right. */
export interface ConfigResolution {
  readonly config: ResolvedConfig;
  readonly notices: readonly string[];
  readonly warnings: readonly string[];
}

export type ConfigCheck =
  | ({ readonly isValid: true } & ConfigResolution)
  | { readonly isValid: false; readonly problems: readonly ConfigProblem[] };

/**
 * Makes a `ResolvedConfig` of a config as people write it.
 * @throws {SwitchgearError} `invalid-config` that names every mistake; `cause.problems` is a `ConfigProblem[]`
 */
export function resolveConfig(input: unknown, context: ConfigContext): ConfigResolution {
  const check = checkConfig(input, context);
  if (!check.isValid) throw invalidConfig(context.source ?? 'the config', check.problems);
  const { config, notices, warnings } = check;
  return { config, notices, warnings };
}

/** Checks a config without throwing. */
export function checkConfig(
  input: unknown,
  { env, adapterNames = [], storeDefault = 'memory', folder = '.' }: ConfigContext,
): ConfigCheck {
  const { tree: filled, templates, problems: templateProblems } = interpolate(input, env);
  const tree = dropEmpty(filled, []);
  const parsed = configSchema.safeParse(tree);
  const verdicts = new Map(
    rawProviders(tree).map(([name, provider]) => [name, judgeProvider(name, provider, templates)]),
  );
  const problems = [
    ...templateProblems,
    ...(parsed.success ? [] : problemsOf(parsed.error.issues, { tree, templates })),
    ...referenceProblems(tree, adapterNames),
    ...[...verdicts.values()].flatMap((verdict) => verdict.problems),
    ...activityProblems(verdicts),
  ];
  if (!parsed.success || problems.length > 0)
    return { isValid: false, problems: tidy(problems, secretsOf({ tree, templates }, env)) };
  const config = buildConfig(parsed.data, verdicts, { storeDefault, folder });
  return {
    isValid: true,
    config: deepFreeze(config),
    notices: noticesOf(config, verdicts),
    warnings: warningsOf(config, parsed.data, verdicts),
  };
}

/**
 * A key without a value (`http:` with all its lines commented out) is null in YAML and means "the default". Where the key
 * itself says something, null stays (a provider, an alias) or becomes an empty map (a model).
 */
function dropEmpty(value: unknown, path: ConfigPath): unknown {
  if (!isPlainObject(value) || (path[0] === 'providers' && path[2] === 'options')) return value;
  const isNamed = path.length === 1 && (path[0] === 'providers' || path[0] === 'models');
  const isModelMap = path.length === 3 && path[0] === 'providers' && path[2] === 'models';
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]): [string, unknown][] => {
      if (item !== null) return [[key, dropEmpty(item, [...path, key])]];
      return isModelMap ? [[key, {}]] : isNamed ? [[key, null]] : [];
    }),
  );
}

function rawProviders(tree: unknown): readonly (readonly [string, Readonly<Record<string, unknown>>])[] {
  const providers = isPlainObject(tree) ? tree['providers'] : undefined;
  return isPlainObject(providers)
    ? Object.entries(providers).flatMap(([name, provider]) =>
        isPlainObject(provider) ? [[name, provider] as const] : [],
      )
    : [];
}

function judgeProvider(
  name: string,
  provider: Readonly<Record<string, unknown>>,
  templates: ReadonlyMap<string, string>,
): KeyVerdict {
  const { adapter, baseURL, enabled, apiKey, apiKeys } = provider;
  const templateAt = (field: string) => templates.get(`providers.${name}.${field}`);
  return judgeKeys({ name, adapter, baseURL, enabled, apiKey, apiKeys, templateAt });
}

/** A service without any provider could only fail, so it does not start. */
function activityProblems(verdicts: ReadonlyMap<string, KeyVerdict>): readonly ConfigProblem[] {
  const reasons = [...verdicts].map(([name, { inactiveReason }]) => ({ name, inactiveReason }));
  if (reasons.length === 0 || reasons.some(({ inactiveReason }) => inactiveReason === undefined)) return [];
  const left = reasons.map(({ name, inactiveReason }) => `${name} (${inactiveReason ?? ''})`).join(', ');
  return [
    { path: 'providers', message: `expected at least one active provider, got: none, as all are left out: ${left}` },
  ];
}

function tidy(problems: readonly ConfigProblem[], secrets: readonly string[]): readonly ConfigProblem[] {
  const scrubbed = problems.map(({ path, message }) => ({
    path: scrub(path, secrets),
    message: scrub(message, secrets),
  }));
  const isFirst = (problem: ConfigProblem, index: number) =>
    scrubbed.findIndex(({ path, message }) => path === problem.path && message === problem.message) === index;
  return scrubbed.filter(isFirst);
}

function noticesOf(config: ResolvedConfig, verdicts: ReadonlyMap<string, KeyVerdict>): readonly string[] {
  return [
    ...config.inactiveProviders.map(({ name, reason }) => `provider ${name} is left out: ${reason}`),
    ...[...verdicts.values()].flatMap(({ notices }) => notices),
  ];
}

function warningsOf(
  config: ResolvedConfig,
  parsed: ParsedConfig,
  verdicts: ReadonlyMap<string, KeyVerdict>,
): readonly string[] {
  const emptyAliases = Object.keys(parsed.models).filter((alias) => config.models[alias]?.length === 0);
  const openKeys = config.providers.filter(
    ({ baseURL, credentials }) => isOpenHttp(baseURL) && credentials.some(({ apiKey }) => apiKey !== undefined),
  );
  const pathless = config.providers.filter(
    ({ adapter, baseURL }) => adapter === 'openai' && baseURL !== undefined && URL.parse(baseURL)?.pathname === '/',
  );
  return [
    ...[...verdicts.values()].flatMap(({ warnings }) => warnings),
    ...emptyAliases.map((alias) => `alias ${alias} has no active candidate: all its providers are left out`),
    ...openKeys.map(({ name }) => `provider ${name}: its key travels unencrypted; use an https baseURL`),
    ...(isOpenHttp(config.webhooks?.url) ? ['webhooks travel unencrypted; use an https url'] : []),
    ...pathless.map(
      ({ name }) =>
        `provider ${name}: its baseURL has no path, and most OpenAI-compatible servers answer under /v1; it is tried as it is`,
    ),
    ...(isLoopback(config.http.host)
      ? []
      : [`http.host ${config.http.host} is not a loopback address: whoever reaches it can spend your keys`]),
  ];
}

function isOpenHttp(baseURL: string | undefined): boolean {
  const url = baseURL === undefined ? null : URL.parse(baseURL);
  if (url === null || url.protocol !== 'http:') return false;
  // A URL writes an IPv6 address in brackets.
  return !isLoopback(url.hostname.replace(/^\[(.*)\]$/, '$1'));
}
