/**
 * What an upstream can be told to do, in words of no wire; and one local HTTP server that does it once a wire has rendered
 * it. It counts the connections it has open, because what an adapter does to its sockets is part of its contract.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { FailureKind } from '../../src/contract/failures.ts';
import type { FinishReason, ToolCall, Usage } from '../../src/contract/response.ts';

export interface ScriptedAnswer {
  readonly text: string;
  readonly toolCalls?: readonly ToolCall[];
  readonly finishReason: FinishReason;
  readonly usage: Usage;
}

/** The classes of refusal every wire has an error answer for. */
export type ScriptedFailure = Extract<
  FailureKind,
  | 'rate-limited'
  | 'quota-exhausted'
  | 'unauthorized'
  | 'model-not-found'
  | 'context-too-long'
  | 'content-filtered'
  | 'invalid-request'
  | 'upstream-error'
  | 'overloaded'
>;

export type UpstreamScript =
  | { readonly kind: 'answer'; readonly answer: ScriptedAnswer }
  /** `echo` is put into the error text, as providers echo what they were sent; `retryAfterSeconds` goes where the wire has it. */
  | {
      readonly kind: 'failure';
      readonly failure: ScriptedFailure;
      readonly retryAfterSeconds?: number;
      readonly echo?: string;
    }
  /** An error event after the first piece of a stream. */
  | { readonly kind: 'failure-inside'; readonly failure: 'upstream-error' | 'overloaded' }
  /** One piece of an answer, then the connection is dropped. */
  | { readonly kind: 'cut' }
  /** A whole text, then a clean end that never says why. */
  | { readonly kind: 'unfinished' }
  /** One piece, then one that cannot be parsed. */
  | { readonly kind: 'malformed' }
  /** One piece, then nothing. */
  | { readonly kind: 'stalled' }
  /** The request is taken and never answered. */
  | { readonly kind: 'silent' }
  /** 200 and a page for people. */
  | { readonly kind: 'page' }
  /** Nobody listens. */
  | { readonly kind: 'unreachable' };

/** What one wire makes of a script. */
export interface WireScripts {
  /** The body of an unstreamed answer. */
  renderAnswer(answer: ScriptedAnswer): string;
  /** The events of a streamed answer, each a string to write. */
  renderStream(answer: ScriptedAnswer): readonly string[];
  readonly streamType: string;
  renderFailure(failure: ScriptedFailure, echo: string): { readonly status: number; readonly body: string };
  renderFailureInside(failure: ScriptedFailure): string;
  /** A piece that starts like every other and cannot be parsed. */
  readonly malformedPiece: string;
  isStream(request: IncomingMessage, body: string): boolean;
  /** Answers a request that is no completion: model lists, embeddings. */
  respondOther(path: string, body: string): string | undefined;
}

export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export interface UpstreamServer {
  readonly url: string;
  readonly received: readonly ReceivedRequest[];
  /** Connections open now. */
  connections(): number;
  close(): Promise<void>;
}

export const plainAnswer: ScriptedAnswer = {
  text: 'Über allen Gipfeln ist Ruh 🌲',
  finishReason: 'stop',
  usage: { inputTokens: 12, outputTokens: 9 },
};

export type Respond = (request: ReceivedRequest, response: ServerResponse, raw: IncomingMessage) => void;

/** Opens a server that hands each whole request to `respond`. */
export async function openUpstream(respond: Respond): Promise<UpstreamServer> {
  const received: ReceivedRequest[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((raw, response) => {
    const chunks: Buffer[] = [];
    raw.on('data', (chunk: Buffer) => chunks.push(chunk));
    raw.on('end', () => {
      const request = {
        method: raw.method ?? '',
        path: raw.url ?? '',
        headers: raw.headers,
        body: Buffer.concat(chunks).toString('utf8'),
      };
      received.push(request);
      respond(request, response, raw);
    });
    // A client that leaves resets its socket, which is what half of these tests are about.
    raw.on('error', () => undefined);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A listening TCP server has an address.
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    received,
    connections: () => sockets.size,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A URL at which nobody listens. */
export async function findUnreachableURL(): Promise<string> {
  const server = await openUpstream(() => undefined);
  await server.close();
  return server.url;
}

/** Plays one script in one wire. */
export function createResponder(script: UpstreamScript, wire: WireScripts): Respond {
  return (request, response, raw) => {
    const other = wire.respondOther(request.path, request.body);
    if (script.kind === 'failure') return respondFailure(script, wire, response);
    if (other !== undefined) return void response.writeHead(200, { 'content-type': 'application/json' }).end(other);
    if (script.kind === 'page')
      return void response.writeHead(200, { 'content-type': 'text/html' }).end('<html><title>Welcome</title></html>');
    if (script.kind === 'silent' || script.kind === 'unreachable') return;
    if (wire.isStream(raw, request.body)) respondStream(script, wire, response);
    else respondWhole(script, wire, response);
  };
}

function respondFailure(
  script: UpstreamScript & { kind: 'failure' },
  wire: WireScripts,
  response: ServerResponse,
): void {
  const { status, body } = wire.renderFailure(script.failure, script.echo ?? '');
  const retryAfter = script.retryAfterSeconds === undefined ? {} : { 'retry-after': String(script.retryAfterSeconds) };
  response.writeHead(status, { 'content-type': 'application/json', ...retryAfter }).end(body);
}

function respondWhole(script: UpstreamScript, wire: WireScripts, response: ServerResponse): void {
  const body = wire.renderAnswer(script.kind === 'answer' ? script.answer : plainAnswer);
  if (script.kind === 'answer') return void response.writeHead(200, { 'content-type': 'application/json' }).end(body);
  response.writeHead(200, {
    'content-type': 'application/json',
    ...(script.kind === 'cut' && { 'content-length': Buffer.byteLength(body) }),
  });
  if (script.kind === 'malformed') return void response.end(body.slice(0, body.length / 2));
  response.write(body.slice(0, body.length / 2), () => {
    if (script.kind === 'cut') response.destroy();
  });
}

function respondStream(script: UpstreamScript, wire: WireScripts, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': wire.streamType });
  const pieces = wire.renderStream(script.kind === 'answer' ? script.answer : plainAnswer);
  switch (script.kind) {
    case 'answer':
      for (const piece of pieces) response.write(piece);
      return void response.end();
    case 'failure-inside':
      return void response.end(pieces.slice(0, 3).join('') + wire.renderFailureInside(script.failure));
    case 'malformed':
      return void response.end(pieces.slice(0, 3).join('') + wire.malformedPiece);
    case 'unfinished':
      return void response.end(pieces.slice(0, 3).join(''));
    case 'cut':
      return void response.write(pieces.slice(0, 3).join(''), () => response.destroy());
    default:
      return void response.write(pieces.slice(0, 3).join(''));
  }
}
