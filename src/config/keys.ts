/**
 * Which providers have a key. A missing, empty or placeholder key refuses an enabled provider and leaves out one that is
 * `enabled: whenKeyed`; `none` stands for an upstream without keys. Formats change, so an unfamiliar one only warns: the
 * provider's own answer decides. No message repeats a key.
 */
import type { ConfigProblem, Credential } from '../contract/config.ts';

/** What one provider says about its keys, before anything is known to be right. */
export interface KeySettings {
  readonly name: string;
  readonly adapter: unknown;
  readonly baseURL: unknown;
  readonly enabled: unknown;
  readonly apiKey: unknown;
  readonly apiKeys: unknown;
  /** How a value that came from the environment was written, by path below the provider, for example `apiKeys.0`. */
  readonly templateAt: (field: string) => string | undefined;
}

/** What follows from them. `inactiveReason` is set when the provider is left out. */
export interface KeyVerdict {
  readonly credentials: readonly Credential[];
  readonly inactiveReason: string | undefined;
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly string[];
  readonly notices: readonly string[];
}

const ADAPTERS_WITH_KEYS: readonly unknown[] = ['openai', 'anthropic'];

/** Decides which credentials a provider has, whether it is left out, and what is wrong. Values of wrong types are the schema's business. */
export function judgeKeys(settings: KeySettings): KeyVerdict {
  const path = `providers.${settings.name}`;
  const nothing: KeyVerdict = { credentials: [], inactiveReason: undefined, problems: [], warnings: [], notices: [] };
  if (settings.enabled === false || settings.enabled === 'false')
    return { ...nothing, inactiveReason: 'enabled is false' };
  if (settings.apiKey !== undefined && settings.apiKeys !== undefined) {
    return {
      ...nothing,
      problems: [{ path: `${path}.apiKeys`, message: 'expected either apiKey or apiKeys, got: both' }],
    };
  }
  const keys = givenKeys(settings);
  // Something that is no key at all is the schema's mistake to tell.
  if (keys.length === 0 && (settings.apiKey !== undefined || settings.apiKeys !== undefined)) return nothing;
  if (keys.length === 0 && !ADAPTERS_WITH_KEYS.includes(settings.adapter)) {
    return { ...nothing, credentials: [{ id: `${settings.name}#1`, apiKey: undefined }] };
  }
  const unusable = keys.filter((key) => key.flaw !== undefined);
  if (settings.enabled !== 'whenKeyed') {
    const missing = keys.length === 0 ? [{ field: 'apiKey', flaw: 'nothing' }] : unusable;
    const problems = missing.map(({ field, flaw }) => ({
      path: `${path}.${field}`,
      message: refusal(flaw, settings.templateAt(field)),
    }));
    return problems.length > 0 ? { ...nothing, problems } : verdictOn(settings, keys);
  }
  const usable = keys.filter((key) => key.flaw === undefined);
  if (usable.length === 0) {
    return { ...nothing, inactiveReason: describeLeftOut(unusable[0], settings) };
  }
  const notices = unusable.map(
    ({ field, flaw }) => `provider ${settings.name}: ${field} is left out: it is ${flaw ?? ''}`,
  );
  return { ...verdictOn(settings, usable), notices };
}

interface GivenKey {
  readonly field: string;
  readonly key: string;
  /** Why it cannot be used; undefined when it can. */
  readonly flaw: string | undefined;
}

function givenKeys({ apiKey, apiKeys }: KeySettings): readonly GivenKey[] {
  const listed = Array.isArray(apiKeys)
    ? apiKeys.map((key: unknown, index) => ({ field: `apiKeys.${index}`, key }))
    : [];
  const fields = apiKey === undefined ? listed : [{ field: 'apiKey', key: apiKey }];
  return fields.flatMap(({ field, key }) => {
    if (typeof key !== 'string') return [];
    const trimmed = key.trim();
    return [
      { field, key: trimmed, flaw: trimmed === '' ? 'empty' : isPlaceholder(trimmed) ? 'a placeholder' : undefined },
    ];
  });
}

const PLACEHOLDERS = [
  /^(?:sk-|sk-ant-|key-)?(?:\.{2,}|…|x{3,}|\*{3,})$/i,
  /^<.*>$/,
  /^(?:sk-)?(?:change[-_ ]?me|replace[-_ ]?me|fill[-_ ]?me[-_ ]?in|todo|placeholder|null|undefined)$/i,
  /^(?:sk-|sk-ant-)?(?:your|insert|enter)[-_ ].*$/i,
  /^(?:my[-_ ])?api[-_ ]?key$/i,
];

function isPlaceholder(key: string): boolean {
  return PLACEHOLDERS.some((pattern) => pattern.test(key));
}

function describeLeftOut(unusable: GivenKey | undefined, { templateAt }: KeySettings): string {
  if (unusable === undefined) return 'its key is missing';
  const variable = variableOf(templateAt(unusable.field));
  const why = unusable.flaw === 'empty' && variable !== undefined ? ` (${variable} is not set)` : '';
  return `its key is ${unusable.flaw ?? 'unusable'}${why}`;
}

/** The environment variable that a value was taken from. */
function variableOf(template: string | undefined): string | undefined {
  return template === undefined ? undefined : /\$\{([A-Za-z_][A-Za-z0-9_]*)/.exec(template)?.[1];
}

function refusal(flaw: string | undefined, template: string | undefined): string {
  const variable = variableOf(template);
  const found =
    flaw === 'empty' && variable !== undefined ? `an empty value, because ${variable} is not set` : (flaw ?? 'nothing');
  const set = variable === undefined ? 'set it' : `set ${variable}`;
  return `expected a key, got: ${found}; ${set}, or write \`enabled: whenKeyed\` to leave the provider out while it has no key, or \`apiKey: none\` for an upstream without keys`;
}

function verdictOn(settings: KeySettings, keys: readonly GivenKey[]): KeyVerdict {
  const problems: ConfigProblem[] = [];
  const warnings: string[] = [];
  const refuse = (field: string, message: string) =>
    problems.push({ path: `providers.${settings.name}.${field}`, message });
  for (const [index, { field, key }] of keys.entries()) {
    if (key === 'none' && keys.length > 1)
      refuse(field, 'expected a key, got: `none` among others; an upstream without keys has a single `apiKey: none`');
    if (!/^[\x21-\x7e]+$/.test(key))
      refuse(field, 'expected a key of printable ASCII characters without spaces, got: something else');
    if (keys.findIndex((other) => other.key === key) !== index)
      refuse(field, 'expected different keys, got: the same key twice');
    const doubt = key === 'none' ? undefined : doubtAbout(key, settings);
    if (doubt !== undefined) warnings.push(`provider ${settings.name}: ${field} ${doubt}; it is tried as it is`);
  }
  const credentials = keys.map(({ key }, index) => ({
    id: `${settings.name}#${index + 1}`,
    apiKey: key === 'none' ? undefined : key,
  }));
  return { credentials, inactiveReason: undefined, problems, warnings, notices: [] };
}

/** What is unfamiliar about a key at the vendor's own API; other servers have formats of their own. */
function doubtAbout(key: string, { adapter, baseURL }: KeySettings): string | undefined {
  const host = typeof baseURL === 'string' ? URL.parse(baseURL)?.hostname : undefined;
  if (adapter === 'openai' && (baseURL === undefined || host === 'api.openai.com')) {
    if (key.startsWith('sk-ant-')) return 'looks like a key of Anthropic, not of OpenAI';
    if (!key.startsWith('sk-')) return 'does not look like a key of OpenAI (expected sk-…)';
  }
  if (adapter === 'anthropic' && (baseURL === undefined || host === 'api.anthropic.com')) {
    if (!key.startsWith('sk-ant-')) return 'does not look like a key of Anthropic (expected sk-ant-…)';
  }
  return undefined;
}
