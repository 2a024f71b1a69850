/**
 * The way out. Both SDKs are given a `fetch` made here, and nothing they or the environment would add leaves the process
 * through it: the headers of a request are built anew from what the adapter and the operator's config say, so OPENAI_ORG_ID,
 * the CUSTOM_HEADERS variables and the SDKs' own telemetry go nowhere. A request goes to the configured origin or not at all.
 */
import type { ProviderConfig } from '../contract/config.ts';
import { SwitchgearError } from '../contract/errors.ts';
import { createGuardedLookup, type Resolve } from '../network/address.ts';
import { type Connections, type Fetch, openConnections } from '../network/connections.ts';
import { AttemptError } from './attempt-error.ts';
import { BODY_BYTES_MAX, checkResponse } from './body.ts';
import { classifyConnectionError } from './connection.ts';

export interface TransportDeps {
  /** Replaces undici's fetch; proxy, connect limit and address check are then its own business. */
  readonly fetch?: Fetch | undefined;
  /** Replaces the system's name resolution. */
  readonly resolve?: Resolve | undefined;
}

export interface Transport {
  /** A `fetch` that sends these headers and those of the config, and no others. */
  fetchWith(headers: Readonly<Record<string, string>>): Fetch;
  /** Lets requests in flight finish and closes the connections. */
  close(): Promise<void>;
}

/** The operator may not set these: they belong to the connection. */
const CONNECTION_HEADERS = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** `Accept` by which an adapter asks for a stream. Servers are sent what the SDKs always send. */
export const EVENT_STREAM = 'text/event-stream';

/**
 * Opens the transport of one provider towards `baseURL`.
 *
 * @throws {SwitchgearError} `invalid-config`
 */
export function createTransport(config: ProviderConfig, baseURL: URL, deps: TransportDeps = {}): Transport {
  const connections =
    deps.fetch === undefined ? connect(config, deps.resolve) : { fetch: deps.fetch, close: async () => undefined };
  return {
    fetchWith: (headers) => async (input, init) => {
      const url = resolveTarget(input, baseURL, config);
      const expectsStream = new Headers(init?.headers).get('accept') === EVENT_STREAM;
      const request: RequestInit = {
        method: init?.method ?? 'GET',
        headers: renderHeaders(headers, config.headers, init?.body !== undefined && init.body !== null, expectsStream),
        redirect: 'manual',
        ...(init?.body !== undefined && { body: init.body }),
        ...(init?.signal !== undefined && { signal: init.signal }),
      };
      const response = await connections.fetch(url, request).catch((error: unknown) => {
        // An abort is the caller's own; the SDK knows its signal.
        throw init?.signal?.aborted === true
          ? error
          : classifyConnectionError(error, url.origin, config.timeouts.connectMs);
      });
      return checkResponse(response, expectsStream ? 'event-stream' : 'json');
    },
    close: () => connections.close(),
  };
}

/** An address written out in `baseURL`, and `localhost`, is the operator's explicit wish; only other names are judged. */
function connect(config: ProviderConfig, resolve: Resolve | undefined): Connections {
  const { timeouts, proxy, allowPrivate } = config;
  return openConnections({
    connectMs: timeouts.connectMs,
    responseBytesMax: BODY_BYTES_MAX,
    proxy,
    lookup: allowPrivate ? undefined : createGuardedLookup({ resolve, permitsLocalhost: true }),
  });
}

/** Parses the base URL of a provider. @throws {SwitchgearError} `invalid-config` */
export function parseBaseURL(config: ProviderConfig, fallback: string): URL {
  const value = config.baseURL ?? fallback;
  const url = URL.canParse(value) ? new URL(value) : undefined;
  const path = `providers.${config.name}.baseURL`;
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new SwitchgearError(
      'invalid-config',
      `expected ${path} to be an http(s) URL, got: ${value.replace(/^.*@/, '…@')}`,
      { param: path },
    );
  }
  if (url.username !== '' || url.password !== '') {
    throw new SwitchgearError(
      'invalid-config',
      `expected ${path} to be without user and password (use headers), got: both`,
      { param: path },
    );
  }
  return url;
}

/** What an SDK appends its paths to; the query of the base URL is added by the transport. */
export const renderBaseURL = (url: URL): string => `${url.origin}${url.pathname}`.replace(/\/+$/, '');

/** A credential is only ever sent to its configured origin. */
function resolveTarget(input: Parameters<Fetch>[0], baseURL: URL, config: ProviderConfig): URL {
  const url = new URL(input instanceof Request ? input.url : input);
  if (url.origin !== baseURL.origin) {
    throw new AttemptError({
      kind: 'adapter-error',
      message: `expected the target of a request to be ${baseURL.origin}, got: ${url.origin}`,
    });
  }
  for (const [name, value] of [...baseURL.searchParams, ...Object.entries(config.query)])
    url.searchParams.set(name, value);
  return url;
}

function renderHeaders(
  own: Readonly<Record<string, string>>,
  configured: Readonly<Record<string, string>>,
  hasBody: boolean,
  expectsStream: boolean,
): Headers {
  const headers = new Headers({ accept: 'application/json', 'user-agent': 'switchgear' });
  if (hasBody) headers.set('content-type', 'application/json');
  // A compressed stream arrives in lumps.
  if (expectsStream) headers.set('accept-encoding', 'identity');
  for (const [name, value] of Object.entries(own)) headers.set(name, value);
  for (const [name, value] of Object.entries(configured)) {
    if (!CONNECTION_HEADERS.has(name.toLowerCase())) headers.set(name, value);
  }
  return headers;
}
