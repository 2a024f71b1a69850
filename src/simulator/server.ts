/**
 * The misbehaving upstream: an HTTP server that speaks the OpenAI and the Anthropic wire on loopback, answers by a fixed
 * rule and spoils its answers as told. Tests, benchmarks and the demo talk to it through the real SDKs, and users rehearse
 * an outage with it.
 */
import { createServer, type Server } from 'node:http';
import { SwitchgearError } from '../contract/errors.ts';
import { parsePatch, parseStart, type ParsedStart, type SimulatorOptions, type SimulatorPatch } from './options.ts';
import type { SimulatorRequest } from './request-log.ts';
import { Upstream } from './upstream.ts';

/** A running simulator. */
export interface Simulator extends AsyncDisposable {
  readonly name: string;
  /** Origin without a path: the Anthropic SDK's base URL; the OpenAI SDK wants `/v1` behind it. */
  readonly url: string;
  readonly port: number;
  /** The newest requests, oldest first. */
  log(): readonly SimulatorRequest[];
  clearLog(): void;
  /** Changes what is named and leaves the rest. @throws {SwitchgearError} `invalid-config`, and nothing is changed */
  configure(patch: SimulatorPatch): void;
  /** Closes every connection. */
  close(): Promise<void>;
}

/** Most connections at once; further ones are closed. */
const connectionsMax = 20_000;
/** Longer than clients keep idle connections, so that none is closed under a request. */
const keepAliveMs = 600_000;

/**
 * Starts a simulator and resolves when it listens.
 * @throws {SwitchgearError} `invalid-config` when an option is wrong or the port is taken
 */
export async function createSimulator({ clock, ...options }: SimulatorOptions): Promise<Simulator> {
  const start = parseStart(options);
  const upstream = new Upstream(start, clock);
  const server = createServer({ keepAliveTimeout: keepAliveMs, noDelay: true }, (request, response) => {
    // It rejects only for a defect, which ends the process as an unhandled rejection.
    void upstream.handle(request, response);
  });
  server.maxConnections = connectionsMax;
  server.on('connection', (socket) => {
    // A client that goes away mid-write is its own business.
    socket.on('error', () => undefined);
    if (upstream.isRefusing()) socket.resetAndDestroy();
  });
  const port = await listen(server, start);
  const close = () => shut(server, upstream);
  return {
    name: start.name,
    url: `http://${start.host.includes(':') ? `[${start.host}]` : start.host}:${port}`,
    port,
    log: () => upstream.log.read(),
    clearLog: () => upstream.log.clear(),
    configure: (patch) => upstream.apply(parsePatch(patch)),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function listen(server: Server, { port, host }: ParsedStart): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      reject(
        new SwitchgearError(
          'invalid-config',
          `expected ${host}:${port} to be free to listen on, got: ${cause.message}`,
          { cause },
        ),
      );
    });
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

function shut(server: Server, upstream: Upstream): Promise<void> {
  return new Promise((resolve) => {
    upstream.stop();
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
