/**
 * The adapter for everything that speaks the OpenAI wire: chat completions and embeddings, by the official SDK. The SDK is
 * left its knowledge of requests, events and errors, and nothing else: no retries, no log, no environment, no time limit, and
 * no way to the network but our transport. Calls go through the client's own `post`, which its typed methods end in: those
 * trip over chunks of compatible servers that are not as documented, and turn vectors into base64 and back.
 */
import OpenAI, { APIConnectionError, APIConnectionTimeoutError, APIError, APIUserAbortError } from 'openai';
import type { Adapter, AdapterCall, AdapterDeps, AdapterEmbedCall, Feature } from '../../contract/adapter.ts';
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
import { createScrub } from '../scrub.ts';
import { createTransport, EVENT_STREAM, parseBaseURL, renderBaseURL, type Transport } from '../transport.ts';
import { ownFeatures } from '../wire.ts';
import { createDialect, type Dialect } from './dialect.ts';
import { OPENAI_WIRE, type MessageContext } from './messages.ts';
import { parseEmbeddings, parseReply } from './parse.ts';
import { renderCompletion, renderEmbedding } from './render.ts';
import { parseStream } from './stream.ts';

const DEFAULT_BASE_URL = 'https://api.openai.com/v1';

/** What a caller may ask this vendor for in a header. */
const FEATURE_HEADERS = ['openai-beta'];

/** The SDK will not start without a key. An upstream without keys never sees this one. */
const KEYLESS = 'no-key';

/**
 * Builds the adapter of one provider. `options`: `maxTokensField`, `streamUsage`, `apiKeyHeader`, `unsupported`.
 *
 * @throws {SwitchgearError} `invalid-config`
 */
export function createOpenaiAdapter(config: ProviderConfig, deps: AdapterDeps): Adapter {
  const baseURL = parseBaseURL(config, DEFAULT_BASE_URL);
  const dialect = createDialect(config, baseURL);
  const transport = createTransport(config, baseURL, { fetch: deps.fetch });
  const clients = new CredentialClients(config, (credential, features) =>
    createClient({ credential, baseURL, dialect, transport, features }),
  );
  const context: MessageContext = { provider: config.name, dialect };
  const classifier: Classifier = {
    provider: config.name,
    sdk: sdkErrors,
    clock: deps.clock,
    scrub: createScrub(() => clients.secrets()),
  };

  return {
    send: (call) =>
      untilAborted(call.signal, async () => {
        const body = await clients.of(call.credential, featuresOf(call)).post<unknown>('/chat/completions', {
          ...requestOptions(call),
          body: renderCompletion(call, context, false),
        });
        return parseReply(body, config.name);
      }),
    stream: (call) => stream(call, clients, context),
    embed: (call) =>
      untilAborted(call.signal, async () => {
        const body = await clients.of(call.credential, featuresOf(call)).post<unknown>('/embeddings', {
          ...requestOptions(call),
          body: renderEmbedding(call.request, call.model, context),
        });
        return parseEmbeddings(body, call.request.input.length, dialect.embeddingEncoding);
      }),
    check: (call) =>
      untilAborted(call.signal, async () => {
        await clients.of(call.credential).get<unknown>('/models', requestOptions(call));
      }),
    classify: (error) => classifyError(classifier, error),
    supports: (feature) => supports(feature) && !dialect.unsupported.has(feature),
    close: () => transport.close(),
  };
}

async function* stream(
  call: AdapterCall,
  clients: CredentialClients<OpenAI>,
  context: MessageContext,
): ReturnType<typeof parseStream> {
  const body = { ...renderCompletion(call, context, true), stream: true };
  const chunks = await untilAborted(call.signal, () =>
    clients.of(call.credential, featuresOf(call)).post<AsyncIterable<unknown>>('/chat/completions', {
      ...requestOptions(call),
      body,
      stream: true,
      headers: { accept: EVENT_STREAM },
    }),
  );
  yield* streamUntilAborted(call.signal, parseStream(chunks, context.provider));
}

function featuresOf({ request }: AdapterCall | AdapterEmbedCall): FeatureHeaders {
  return ownFeatures(request.featureHeaders, FEATURE_HEADERS);
}

interface ClientParts {
  readonly credential: Credential;
  readonly baseURL: URL;
  readonly dialect: Dialect;
  readonly transport: Transport;
  readonly features: FeatureHeaders;
}

function createClient({ credential, baseURL, dialect, transport, features }: ClientParts): OpenAI {
  const key = credential.apiKey;
  const header =
    key === undefined
      ? {}
      : { [dialect.apiKeyHeader]: dialect.apiKeyHeader === 'authorization' ? `Bearer ${key}` : key };
  return new OpenAI({
    apiKey: key ?? KEYLESS,
    adminAPIKey: null,
    organization: null,
    project: null,
    webhookSecret: null,
    baseURL: renderBaseURL(baseURL),
    fetch: transport.fetchWith({ ...features, ...header }),
    maxRetries: 0,
    timeout: SDK_TIMEOUT_MS,
    logLevel: 'off',
    logger: createSilentLogger(),
  });
}

const FEATURES: ReadonlySet<Feature> = new Set<Feature>([
  'completion',
  'stream',
  'embedding',
  'tools',
  'images',
  'json',
  'json-schema',
  'seed',
  'reasoning-effort',
  `wire:${OPENAI_WIRE}`,
]);

const supports = (feature: Feature): boolean => FEATURES.has(feature);

const sdkErrors: SdkErrors = {
  isAbort: (error) => error instanceof APIUserAbortError,
  isConnectTimeout: (error) => error instanceof APIConnectionTimeoutError,
  isConnection: (error) => error instanceof APIConnectionError,
  readUpstream: (error) => (error instanceof APIError ? readSdkError(error) : undefined),
};
