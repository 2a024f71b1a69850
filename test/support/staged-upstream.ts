/**
 * An upstream over real sockets that goes exactly as far with each request as the request itself says, and then holds
 * still: the last message names the stage and a mark. It notes when the socket of each unanswered request closed, which is
 * what leaving has to bring about. Two further upstreams hold still before there is a request at all.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { openaiWire, anthropicWire } from '../contracts/wires.ts';
import type { ScriptedAnswer, WireScripts } from '../contracts/upstream.ts';

export type WireName = 'openai' | 'anthropic';

export const WIRES: Readonly<Record<WireName, WireScripts>> = { openai: openaiWire, anthropic: anthropicWire };

/**
 * `taken`: the request is read, nothing is said. `opened`: headers, and no content. `begun`: some content, or half a body.
 * `dripping`: a piece every few ms to the end. `failing`: 503 at once. `answered`: the whole answer at once.
 */
export type Stage = 'taken' | 'opened' | 'begun' | 'dripping' | 'failing' | 'answered';

/** One request as the upstream saw it; moments are on the monotonic clock of this process. */
export interface StagedRequest {
  readonly mark: string;
  readonly stage: Stage;
  readonly receivedAtMs: number;
  /** Everything the stage says was sent. */
  isReached: boolean;
  /** When the socket closed under a request that was not answered to its end. */
  cutAtMs: number | undefined;
  isOver: boolean;
}

export interface StagedUpstream extends AsyncDisposable {
  readonly url: string;
  readonly requests: readonly StagedRequest[];
  readonly find: (mark: string) => StagedRequest | undefined;
  /** Connections open now. */
  readonly connections: () => number;
}

/** What a request has to say to be held at a stage. */
export const directive = (stage: Stage, mark: string): string => `stage ${stage} mark ${mark} `;

const DIRECTIVE = /stage (taken|opened|begun|dripping|failing|answered) mark (\S+) /;

const stagedAnswer: ScriptedAnswer = {
  text: 'Nothing is lost when somebody leaves in the middle 🌲.',
  finishReason: 'stop',
  usage: { inputTokens: 12, outputTokens: 13 },
};

const PIECES_BEGUN = 5;
const DRIP_MS = 3;

/** Opens an upstream that speaks one wire. */
export async function openStagedUpstream(wireName: WireName): Promise<StagedUpstream> {
  const wire = WIRES[wireName];
  const requests: StagedRequest[] = [];
  const server = createServer((raw, response) => {
    void receive(raw, response).then((body) => {
      const other = wire.respondOther(raw.url ?? '', body);
      if (other !== undefined) {
        response.writeHead(200, { 'content-type': 'application/json' }).end(other);
        return;
      }
      const entry = note(body, response);
      requests.push(entry);
      play({ wire, entry, raw, body, response });
    });
  });
  const { connections, close, port } = await listen(server);
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    find: (mark) => requests.findLast((request) => request.mark === mark),
    connections,
    [Symbol.asyncDispose]: close,
  };
}

/** Resolves with the whole body; never when the client leaves before it is whole. */
function receive(raw: IncomingMessage, response: ServerResponse): Promise<string> {
  // A client that leaves resets its socket.
  raw.on('error', () => undefined);
  response.on('error', () => undefined);
  const chunks: Buffer[] = [];
  return new Promise((resolve) => {
    raw.on('data', (chunk: Buffer) => chunks.push(chunk));
    raw.on('end', () => {
      resolve(Buffer.concat(chunks).toString('utf8'));
    });
  });
}

function note(body: string, response: ServerResponse): StagedRequest {
  const [, stage = 'answered', mark = ''] = DIRECTIVE.exec(body) ?? [];
  const entry: StagedRequest = {
    mark,
    // The pattern lets only stages through.
    stage: stage as Stage,
    receivedAtMs: performance.now(),
    isReached: false,
    cutAtMs: undefined,
    isOver: false,
  };
  response.once('close', () => {
    entry.isOver = true;
    if (!response.writableFinished) entry.cutAtMs = performance.now();
  });
  return entry;
}

interface Playing {
  readonly wire: WireScripts;
  readonly entry: StagedRequest;
  readonly raw: IncomingMessage;
  readonly body: string;
  readonly response: ServerResponse;
}

function play({ wire, entry, raw, body, response }: Playing): void {
  const reach = (): void => {
    entry.isReached = true;
  };
  if (entry.stage === 'taken') return reach();
  if (entry.stage === 'failing') {
    const failure = wire.renderFailure('overloaded', '');
    response.writeHead(503, { 'content-type': 'application/json' }).end(failure.body, reach);
    return;
  }
  const isStream = wire.isStream(raw, body);
  const pieces = isStream ? wire.renderStream(stagedAnswer) : halves(wire.renderAnswer(stagedAnswer));
  response.writeHead(200, { 'content-type': isStream ? wire.streamType : 'application/json' });
  switch (entry.stage) {
    case 'opened':
      response.flushHeaders();
      return reach();
    case 'begun':
      response.write(pieces.slice(0, isStream ? PIECES_BEGUN : 1).join(''), reach);
      return;
    case 'dripping':
      return drip(pieces, response, reach);
    case 'answered':
      response.end(pieces.join(''), reach);
  }
}

const halves = (text: string): readonly string[] => [
  text.slice(0, Math.floor(text.length / 2)),
  text.slice(Math.floor(text.length / 2)),
];

function drip(pieces: readonly string[], response: ServerResponse, reach: () => void): void {
  const [first, ...rest] = pieces;
  if (first === undefined) {
    response.end(reach);
    return;
  }
  response.write(first);
  setTimeout(() => {
    if (!response.destroyed) drip(rest, response, reach);
  }, DRIP_MS);
}

/** A connection that was made, and what became of it. */
export interface StagedConnection {
  bytes: number;
  closedAtMs: number | undefined;
}

export interface SilentUpstream extends AsyncDisposable {
  readonly port: number;
  readonly accepted: readonly StagedConnection[];
  readonly connections: () => number;
}

/** Opens a server that accepts connections and never says a byte: over TLS a connection to it is never made. */
export async function openSilentUpstream(): Promise<SilentUpstream> {
  const accepted: StagedConnection[] = [];
  const server = createTcpServer((socket) => {
    const connection: StagedConnection = { bytes: 0, closedAtMs: undefined };
    accepted.push(connection);
    socket
      .on('data', (chunk) => (connection.bytes += chunk.length))
      .on('close', () => (connection.closedAtMs = performance.now()));
  });
  const { connections, close, port } = await listen(server);
  return { port, accepted, connections, [Symbol.asyncDispose]: close };
}

interface Listening {
  readonly port: number;
  readonly connections: () => number;
  readonly close: () => Promise<void>;
}

async function listen(server: Server): Promise<Listening> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A listening TCP server has an address.
  const { port } = server.address() as AddressInfo;
  return {
    port,
    connections: () => sockets.size,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        for (const socket of sockets) socket.destroy();
      }),
  };
}
