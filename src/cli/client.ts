/**
 * Asks the daemon over HTTP. Undici is called directly, not through Node's global fetch, whose five minutes for headers
 * would cut a completion that waits in a queue. Whatever goes wrong leaves here as a `CliFailure`.
 */
import type { Dispatcher, FormData } from 'undici';
import { EXIT } from '../daemon/exit-code.ts';
import { CliFailure, exitCodeOf } from './failure.ts';

const CONNECT_MAX_MS = 5_000;
const BODY_MAX_BYTES = 64 * 1024 * 1024;

export interface Ask {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Below the daemon's address, with a leading slash. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent instead of it. */
  readonly form?: FormData;
  /** Aborting it closes the connection, which cancels what the daemon does for it. */
  readonly signal: AbortSignal;
  /** How long the whole answer may take; undefined: as long as it likes. */
  readonly timeoutMs?: number;
}

export interface DaemonClient {
  readonly url: string;
  /** The body of the answer. @throws {CliFailure} when there is none, or it tells of a failure. */
  ask(ask: Ask): Promise<unknown>;
  /** The bytes of the answer as they come. @throws {CliFailure} likewise. */
  stream(ask: Ask): AsyncIterable<Uint8Array>;
}

/** Builds a client of the daemon at `url`, which must have been checked. */
export function createClient(url: string): DaemonClient {
  let dispatcher: Promise<Dispatcher> | undefined;
  const send = async (ask: Ask, signal: AbortSignal): Promise<Dispatcher.ResponseData> =>
    sendBy(await (dispatcher ??= createDispatcher()), url, ask, signal);
  return {
    url,
    ask: async (ask) => {
      const signal =
        ask.timeoutMs === undefined ? ask.signal : AbortSignal.any([ask.signal, AbortSignal.timeout(ask.timeoutMs)]);
      try {
        const reply = await send(ask, signal);
        return parseJson(url, await readText(reply.body));
      } catch (error) {
        throw explain(url, ask, error);
      }
    },
    stream: async function* (ask) {
      try {
        const reply = await send(ask, ask.signal);
        for await (const chunk of reply.body) yield chunk as Uint8Array; // A body without encoding yields buffers.
      } catch (error) {
        throw explain(url, ask, error);
      }
    },
  };
}

/** Loaded when the first question is asked: `--help` shall not wait for it. No connection is kept open. */
async function createDispatcher(): Promise<Dispatcher> {
  const { Agent } = await import('undici');
  return new Agent({ connect: { timeout: CONNECT_MAX_MS }, headersTimeout: 0, bodyTimeout: 0, pipelining: 0 });
}

async function sendBy(
  dispatcher: Dispatcher,
  url: string,
  ask: Ask,
  signal: AbortSignal,
): Promise<Dispatcher.ResponseData> {
  const { origin, pathname } = new URL(`${url}${ask.path}`);
  const reply = await dispatcher.request({
    origin,
    path: `${pathname}${renderQuery(ask.query)}`,
    method: ask.method,
    headers: {
      accept: 'application/json, text/event-stream',
      ...(ask.body !== undefined && { 'content-type': 'application/json' }),
      ...withoutUndefined(ask.headers ?? {}),
    },
    body: ask.form ?? (ask.body === undefined ? null : JSON.stringify(ask.body)),
    signal,
  });
  if (reply.statusCode >= 200 && reply.statusCode < 300) return reply;
  throw await readFailure(url, reply);
}

async function readFailure(url: string, reply: Dispatcher.ResponseData): Promise<CliFailure> {
  const text = await readText(reply.body);
  const error = errorOf(text);
  const code = reply.headers['x-switchgear-error'] ?? error?.['code'];
  const requestId = reply.headers['x-switchgear-request-id'];
  const retryAfter = Number(reply.headers['retry-after']);
  const message = typeof error?.['message'] === 'string' ? error['message'] : `${url} answered ${reply.statusCode}`;
  return new CliFailure(exitCodeOf(code, reply.statusCode), message, {
    ...(typeof code === 'string' && { code }),
    ...(typeof requestId === 'string' && { requestId }),
    ...(Number.isFinite(retryAfter) && { retryAfterSeconds: retryAfter }),
  });
}

/** The `error` object of a failure's body, if it has one. */
function errorOf(text: string): Record<string, unknown> | undefined {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body !== 'object' || body === null || !('error' in body)) return undefined;
    const { error } = body;
    return typeof error === 'object' && error !== null ? { ...error } : undefined;
  } catch {
    return undefined;
  }
}

async function readText(body: AsyncIterable<unknown>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    const bytes = chunk as Uint8Array; // A body without encoding yields buffers.
    size += bytes.length;
    if (size > BODY_MAX_BYTES)
      throw new CliFailure(EXIT.protocol, `expected an answer up to ${BODY_MAX_BYTES} bytes, got more`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(url: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new CliFailure(EXIT.protocol, `expected ${url} to answer JSON, got something else: is that Switchgear?`, {
      cause: error,
    });
  }
}

/** Names what kept the daemon from answering. An interruption by the user is passed on as it is. */
function explain(url: string, ask: Ask, error: unknown): unknown {
  if (error instanceof CliFailure || ask.signal.aborted) return error;
  if (error instanceof Error && error.name === 'TimeoutError') {
    return new CliFailure(
      EXIT.temporary,
      `${url} did not answer within ${ask.timeoutMs} ms: is the daemon overloaded?`,
      { cause: error },
    );
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (/^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT|ETIMEDOUT)$/.test(code)) {
    return new CliFailure(
      EXIT.unavailable,
      `no daemon at ${url}: start one with "npm start" or "switchgear serve", or pass --url`,
      { cause: error },
    );
  }
  // What OpenSSL makes of an answer in plain text; the code alone is EPROTO in some versions of Node.
  if (/wrong.version.number|packet.length.too.long/i.test(`${code} ${String(error)}`)) {
    return new CliFailure(
      EXIT.unavailable,
      `expected ${url} to speak TLS, got something else: a daemon speaks plain http, try --url ${url.replace(/^https:/, 'http:')}`,
      { cause: error },
    );
  }
  const reason = error instanceof Error && error.message !== '' ? error.message : code;
  return new CliFailure(EXIT.unavailable, `the connection to ${url} broke: ${reason}`, { cause: error });
}

function renderQuery(query: Ask['query']): string {
  const parameters = new URLSearchParams(withoutUndefined(query ?? {})).toString();
  return parameters === '' ? '' : `?${parameters}`;
}

function withoutUndefined(record: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const entries = Object.entries(record).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return Object.fromEntries(entries);
}
