/**
 * What differs among servers that speak the OpenAI wire. Most is one rule for OpenAI's own host and one for everybody else,
 * because others imitate the format as it was before reasoning models; a few hosts refuse what all others take. The operator
 * can overrule each rule by `options`.
 */
import { z } from 'zod';
import type { ProviderConfig } from '../../contract/config.ts';
import type { ParsedCompletion } from '../../contract/request.ts';
import { invalidOptions } from '../options.ts';

const optionsSchema = z.strictObject({
  /** Default: `max_completion_tokens` on OpenAI's host and for OpenAI's reasoning models anywhere, else `max_tokens`. */
  maxTokensField: z.enum(['max_tokens', 'max_completion_tokens']).optional(),
  /** Whether to ask for usage at the end of a stream (`stream_options`). Default: yes, except where it is refused. */
  streamUsage: z.boolean().optional(),
  /** The header the key goes in. Default: `api-key` on Azure, else `authorization`. */
  apiKeyHeader: z.enum(['authorization', 'api-key']).optional(),
  /** Features this server lacks, for example `json-schema`. */
  unsupported: z.array(z.string()).optional(),
});

export interface Dialect {
  readonly sendsStreamUsage: boolean;
  readonly apiKeyHeader: 'authorization' | 'api-key';
  /** Others know the `developer` role only as `system`. */
  readonly knowsDeveloperRole: boolean;
  /** Mistral takes tool call ids of nine letters and digits only; ids from other providers are mapped. */
  readonly hasShortToolCallIds: boolean;
  /** `float` is asked for; Perplexity knows only base64 of signed bytes and refuses the field. */
  readonly embeddingEncoding: 'float' | 'signed-bytes';
  readonly unsupported: ReadonlySet<string>;
  maxTokensField(model: string): 'max_tokens' | 'max_completion_tokens';
  /** Whether the model takes `temperature` and `top_p` at this reasoning effort. */
  takesSampling(model: string, effort: ParsedCompletion['reasoningEffort']): boolean;
}

const OPENAI_HOST = /(^|\.)openai\.com$/;
const AZURE_HOST = /\.azure\.com$/;
const STREAM_USAGE_REFUSED = new Set(['api.mistral.ai', 'api.perplexity.ai']);

/**
 * Reads the dialect of a provider from its base URL and its `options`.
 *
 * @throws {SwitchgearError} `invalid-config`
 */
export function createDialect(config: ProviderConfig, baseURL: URL): Dialect {
  const parsed = optionsSchema.safeParse(config.options);
  if (!parsed.success) throw invalidOptions(config.name, parsed.error.issues);
  const options = parsed.data;
  const host = baseURL.hostname;
  const isOpenai = OPENAI_HOST.test(host);
  const isAzure = AZURE_HOST.test(host);
  return {
    sendsStreamUsage: options.streamUsage ?? !STREAM_USAGE_REFUSED.has(host),
    apiKeyHeader: options.apiKeyHeader ?? (isAzure ? 'api-key' : 'authorization'),
    knowsDeveloperRole: isOpenai || isAzure,
    hasShortToolCallIds: host === 'api.mistral.ai',
    embeddingEncoding: host === 'api.perplexity.ai' ? 'signed-bytes' : 'float',
    unsupported: new Set(options.unsupported),
    maxTokensField: (model) =>
      options.maxTokensField ?? (isOpenai || isReasoningModel(model) ? 'max_completion_tokens' : 'max_tokens'),
    takesSampling: (model, effort) => !(isOpenai || isAzure) || takesSampling(model, effort),
  };
}

const lastSegment = (model: string): string => model.slice(model.lastIndexOf('/') + 1).toLowerCase();

/** The o-series, and GPT from 5 on. */
function isReasoningModel(model: string): boolean {
  const name = lastSegment(model);
  return /^o\d/.test(name) || /^gpt-([5-9]|\d\d)/.test(name);
}

/**
 * Reasoning models refuse sampling parameters with 400 instead of ignoring them, which would end a request that another
 * candidate could have answered; so they are left out where they are known to be refused. GPT-5.1 and later minor versions
 * of 5 take them as long as no effort is asked for; chat variants always do.
 */
function takesSampling(model: string, effort: ParsedCompletion['reasoningEffort']): boolean {
  if (!isReasoningModel(model) || effort === 'none') return true;
  const name = lastSegment(model);
  if (name.includes('-chat')) return true;
  return /^gpt-5\.\d/.test(name) && effort === undefined;
}
