/**
 * The adapter for the Anthropic wire, by the official SDK. As with OpenAI's, the SDK is left its knowledge of events and
 * errors, and nothing else. Messages go through the client's own `post`, which is what `messages.create` calls in the end:
 * `create` would first print deprecations to the console and refuse an unstreamed call with a large `max_tokens`.
 *
 * API version 2023-06-01 is spoken, not the SDK's own 2026-10-21: the newer one takes nothing more that is rendered here,
 * refuses `temperature` and `top_p` on models that take them, and is unknown to compatible servers. The key goes into
 * `x-api-key`, which both versions take. `headers` in the config overrules either.
 */
import Anthropic, {
  APIConnectionError,
  APIConnectionTimeoutError,
  APIError,
  APIUserAbortError,
} from '@anthropic-ai/sdk';
import { z } from 'zod';
import type { Adapter, AdapterCall, AdapterDeps, Feature } from '../../contract/adapter.ts';
import type { Credential, ProviderConfig } from '../../contract/config.ts';
import type { FeatureHeaders } from '../../contract/request.ts';
import { classifyError, readSdkError, type Classifier, type SdkErrors } from '../classify.ts';
import {
  CredentialClients,
  createSilentLogger,
  requestOptions,
  SDK_TIMEOUT_MS,
  streamUntilAborted,
  untilAborted,
} from '../clients.ts';
import { invalidOptions } from '../options.ts';
import { createScrub } from '../scrub.ts';
import { createTransport, EVENT_STREAM, parseBaseURL, renderBaseURL, type Transport } from '../transport.ts';
import { ownFeatures } from '../wire.ts';
import { ANTHROPIC_WIRE } from './messages.ts';
import { canThink, hasStructuredOutputs } from './models.ts';
import { parseReply } from './parse.ts';
import { renderMessage } from './render.ts';
import { parseStream } from './stream.ts';

const DEFAULT_BASE_URL = 'https://api.anthropic.com';
const API_VERSION = '2023-06-01';

/** What a caller may ask this vendor for in a header. */
const FEATURE_HEADERS = ['anthropic-beta'];

/** The SDK would look for a login on this machine without a key. An upstream without keys never sees this one. */
const KEYLESS = 'no-key';

const optionsSchema = z.strictObject({
  /** Features this server lacks, for example `json-schema`. */
  unsupported: z.array(z.string()).optional(),
});

/**
 * Builds the adapter of one provider. `options`: `unsupported`.
 *
 * @throws {SwitchgearError} `invalid-config`
 */
export function createAnthropicAdapter(config: ProviderConfig, deps: AdapterDeps): Adapter {
  const options = optionsSchema.safeParse(config.options);
  if (!options.success) throw invalidOptions(config.name, options.error.issues);
  const unsupported: ReadonlySet<string> = new Set(options.data.unsupported);
  const baseURL = parseBaseURL(config, DEFAULT_BASE_URL);
  const transport = createTransport(config, baseURL, { fetch: deps.fetch });
  const clients = new CredentialClients(config, (credential, features) =>
    createClient({ credential, baseURL, transport, features }),
  );
  const classifier: Classifier = {
    provider: config.name,
    sdk: sdkErrors,
    clock: deps.clock,
    scrub: createScrub(() => clients.secrets()),
  };

  return {
    send: (call) =>
      untilAborted(call.signal, async () => {
        const body = await clients
          .of(call.credential, featuresOf(call))
          .post<unknown>('/v1/messages', { ...requestOptions(call), body: renderMessage(call, config) });
        return parseReply(body, config.name);
      }),
    stream: (call) => stream(call, clients, config),
    check: (call) =>
      untilAborted(call.signal, async () => {
        await clients.of(call.credential).get<unknown>('/v1/models', requestOptions(call));
      }),
    classify: (error) => classifyError(classifier, error),
    supports: (feature, model) => supports(feature, model) && !unsupported.has(feature),
    close: () => transport.close(),
  };
}

async function* stream(
  call: AdapterCall,
  clients: CredentialClients<Anthropic>,
  config: ProviderConfig,
): ReturnType<typeof parseStream> {
  const body = { ...renderMessage(call, config), stream: true };
  const events = await untilAborted(call.signal, () =>
    clients.of(call.credential, featuresOf(call)).post<AsyncIterable<unknown>>('/v1/messages', {
      ...requestOptions(call),
      body,
      stream: true,
      headers: { accept: EVENT_STREAM },
    }),
  );
  yield* streamUntilAborted(call.signal, parseStream(events, config.name));
}

function featuresOf({ request }: AdapterCall): FeatureHeaders {
  return ownFeatures(request.featureHeaders, FEATURE_HEADERS);
}

interface ClientParts {
  readonly credential: Credential;
  readonly baseURL: URL;
  readonly transport: Transport;
  readonly features: FeatureHeaders;
}

function createClient({ credential, baseURL, transport, features }: ClientParts): Anthropic {
  const key = credential.apiKey;
  return new Anthropic({
    apiKey: key ?? KEYLESS,
    authToken: null,
    webhookKey: null,
    // The SDK adds /v1 itself; many write it into the base URL.
    baseURL: renderBaseURL(baseURL).replace(/\/v1$/, ''),
    fetch: transport.fetchWith({
      ...features,
      'anthropic-version': API_VERSION,
      ...(key !== undefined && { 'x-api-key': key }),
    }),
    maxRetries: 0,
    timeout: SDK_TIMEOUT_MS,
    logLevel: 'off',
    logger: createSilentLogger(),
    openTelemetry: false,
  });
}

const FEATURES: ReadonlySet<Feature> = new Set<Feature>([
  'completion',
  'stream',
  'tools',
  'images',
  'json',
  `wire:${ANTHROPIC_WIRE}`,
]);

function supports(feature: Feature, model: string): boolean {
  if (feature === 'json-schema') return hasStructuredOutputs(model);
  if (feature === 'reasoning-effort') return canThink(model);
  return FEATURES.has(feature);
}

const sdkErrors: SdkErrors = {
  isAbort: (error) => error instanceof APIUserAbortError,
  isConnectTimeout: (error) => error instanceof APIConnectionTimeoutError,
  isConnection: (error) => error instanceof APIConnectionError,
  readUpstream: (error) => (error instanceof APIError ? readSdkError(error) : undefined),
};
