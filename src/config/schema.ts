/**
 * The schema of a config: one section for each section of the file, with every default and every range. A message says
 * what was expected and nothing else; `problems.ts` adds the path and what was found. What a single field cannot tell
 * (names, references, keys) is checked in `references.ts` and `keys.ts`.
 */
import { z } from 'zod';

import type { Delivery, Recovery } from '../contract/request.ts';
import { decimal, flag, integer, milliseconds, oneOf, section, text, toBoolean } from './fields.ts';
import { webhooksSchema } from './webhooks.ts';

const RECOVERIES: readonly [Recovery, ...Recovery[]] = ['atLeastOnce', 'atMostOnce'];
const DELIVERIES: readonly [Delivery, ...Delivery[]] = ['live', 'whole', 'restart'];

const serviceSchema = section({
  timeoutMs: milliseconds(1).default(600_000),
  asyncTimeoutMs: milliseconds(1).default(86_400_000),
  queueDepthMax: integer(1, 1_000_000).default(10_000),
  delivery: oneOf(DELIVERIES).default('live'),
  recovery: oneOf(RECOVERIES).default('atLeastOnce'),
});

const defaultsSchema = section({
  model: text('an alias, provider/model or a model id').optional(),
  maxTokens: integer(1, 10_000_000, 'tokens').default(4096),
});

const logSchema = section({
  level: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
});

const storeSchema = section({
  kind: oneOf(['memory', 'sqlite']).optional(),
  path: text('a file').default('./switchgear.db'),
  resultTtlMs: milliseconds(1).default(86_400_000),
});

const httpSchema = section({
  host: text('a host name or address').default('127.0.0.1'),
  port: integer(0, 65_535).default(4141),
  bodyLimitBytes: integer(1024, 268_435_456, 'bytes').default(4_194_304),
});

const ledgerSchema = section({ retainDays: integer(1, 3650, 'days').default(30) });

const rateLimitSchema = section({
  requestsPerMinute: integer(1, 1_000_000_000).optional(),
  tokensPerMinute: integer(1, 1_000_000_000_000).optional(),
});

const retrySchema = section({
  maxRetries: integer(0, 10).default(2),
  baseMs: milliseconds(1, 60_000).default(500),
  factor: decimal(1, 10).default(2),
  capMs: milliseconds(1, 600_000).default(8000),
}).superRefine(({ baseMs, capMs }, context) => {
  if (capMs >= baseMs) return;
  context.addIssue({ code: 'custom', path: ['capMs'], message: `expected at least baseMs (${baseMs})` });
});

const timeoutsSchema = section({
  connectMs: milliseconds(1, 3_600_000).default(5000),
  firstTokenMs: milliseconds(1, 3_600_000).default(12_000),
  stallMs: milliseconds(1, 3_600_000).default(15_000),
  unstreamedMs: milliseconds(1, 86_400_000).default(60_000),
});

const breakerSchema = section({
  windowMs: milliseconds(1000, 86_400_000).default(60_000),
  failureRate: decimal(0.01, 1).default(0.5),
  minimumCalls: integer(1, 10_000).default(10),
  consecutiveFailures: integer(1, 10_000).default(10),
  openMs: milliseconds(1, 86_400_000).default(15_000),
  openMaxMs: milliseconds(1, 86_400_000).default(300_000),
  halfOpenSuccesses: integer(1, 100).default(2),
}).superRefine(({ openMs, openMaxMs }, context) => {
  if (openMaxMs >= openMs) return;
  context.addIssue({ code: 'custom', path: ['openMaxMs'], message: `expected at least openMs (${openMs})` });
});

const healthSchema = section({ intervalMs: milliseconds(100).default(30_000) });

const usdPerMillionTokens = () => decimal(0, 1_000_000, 'USD per million tokens');

const modelSchema = section({
  contextWindow: integer(1, 1_000_000_000, 'tokens').optional(),
  maxOutputTokens: integer(1, 1_000_000_000, 'tokens').optional(),
  delivery: oneOf(DELIVERIES).optional(),
  price: section({
    inputUsdPerMillionTokens: usdPerMillionTokens(),
    outputUsdPerMillionTokens: usdPerMillionTokens().optional(),
    cachedInputUsdPerMillionTokens: usdPerMillionTokens().optional(),
    cacheWriteUsdPerMillionTokens: usdPerMillionTokens().optional(),
  }).optional(),
});

const modelListSchema = z.array(text('a model id')).transform((ids) => Object.fromEntries(ids.map((id) => [id, {}])));
const modelMapSchema = z.record(text('a model id'), modelSchema, {
  error: 'expected a list of model ids, or a map of them',
});

/** Both forms of `models`; the issues of the form that was meant are passed on, not those of a union. */
const modelsSchema = z.unknown().transform((value, context): z.output<typeof modelMapSchema> => {
  const result = (Array.isArray(value) ? modelListSchema : modelMapSchema).safeParse(value);
  if (result.success) return result.data;
  for (const issue of result.error.issues) context.issues.push({ ...issue, input: undefined });
  return z.NEVER;
});

const FRAMING_HEADERS =
  /^(host|connection|keep-alive|content-length|transfer-encoding|te|trailer|upgrade|expect|proxy-connection|proxy-authorization)$/i;

const headersSchema = z
  .record(z.string(), text('a header value in quotes', /^[\t\x20-\x7e\x80-\xff]*$/), {
    error: 'expected a map of header names and values',
  })
  .superRefine((headers, context) => {
    for (const name of Object.keys(headers)) {
      if (/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) && !FRAMING_HEADERS.test(name)) continue;
      context.addIssue({
        code: 'custom',
        path: [name],
        message: 'expected a header name that is not part of the connection itself',
      });
    }
  });

/** The settings of one provider. */
export const providerSchema = section({
  enabled: z
    .preprocess(
      toBoolean,
      z.union([z.boolean(), z.literal('whenKeyed')], { error: 'expected true, false or whenKeyed' }),
    )
    .default(true),
  adapter: text('the name of an adapter: openai, anthropic, mock or your own'),
  apiKey: text('a key, or `none`', /(?:)/).optional(),
  apiKeys: z
    .array(text('a key', /(?:)/), { error: 'expected a list of keys' })
    .min(1, 'expected at least one key')
    .max(100, 'expected at most 100 keys')
    .optional(),
  baseURL: text('an http or https URL').superRefine(checkBaseURL).optional(),
  models: modelsSchema.default({}),
  priority: integer(0, 1000).default(1),
  maxTokens: integer(1, 10_000_000, 'tokens').optional(),
  rateLimit: rateLimitSchema.prefault({}),
  concurrency: integer(1, 10_000).default(32),
  retry: retrySchema.prefault({}),
  timeouts: timeoutsSchema.prefault({}),
  headers: headersSchema.default({}),
  query: z.record(z.string(), text('a value in quotes', /(?:)/), { error: 'expected a map of parameters' }).default({}),
  proxy: text('an http or https URL').superRefine(checkProxy).optional(),
  breaker: breakerSchema.prefault({}),
  health: healthSchema.prefault({}),
  allowPrivate: flag().default(false),
  options: z.record(z.string(), z.unknown(), { error: 'expected a map' }).default({}),
});

/** The whole config, `tenants` included only to say that it is refused. */
export const configSchema = section({
  service: serviceSchema.prefault({}),
  defaults: defaultsSchema.prefault({}),
  log: logSchema.prefault({}),
  store: storeSchema.prefault({}),
  http: httpSchema.prefault({}),
  providers: z.record(z.string(), providerSchema, { error: 'expected a map of providers' }),
  models: z
    .record(z.string(), z.array(text('a candidate, provider/model'), { error: 'expected a list of candidates' }), {
      error: 'expected a map of aliases',
    })
    .default({}),
  tenants: z
    .undefined({ error: 'budgets and tenant limits are not available in this version; remove this section' })
    .optional(),
  ledger: ledgerSchema.prefault({}),
  webhooks: webhooksSchema,
});

/** What the schema makes of a config without mistakes. */
export type ParsedConfig = z.output<typeof configSchema>;
export type ParsedProvider = z.output<typeof providerSchema>;

function checkBaseURL(value: string, context: z.RefinementCtx): void {
  const url = URL.parse(value);
  const refuse = (message: string) => context.addIssue({ code: 'custom', message });
  if (url === null || !isHttp(url)) {
    refuse('expected an http or https URL');
    return;
  }
  if (url.username !== '' || url.password !== '') refuse('expected a URL without credentials; put the key into apiKey');
  if (url.search !== '' || url.hash !== '') refuse('expected a URL without ? and #; put parameters into query');
}

function checkProxy(value: string, context: z.RefinementCtx): void {
  const url = URL.parse(value);
  if (url !== null && isHttp(url)) return;
  context.addIssue({ code: 'custom', message: 'expected an http or https URL' });
}

function isHttp(url: URL): boolean {
  return url.protocol === 'http:' || url.protocol === 'https:';
}
