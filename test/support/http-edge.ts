/** Starts the HTTP edge of a scripted service on a free loopback port, and offers what tests send to it. */
import { connect } from 'node:net';
import Anthropic from '@anthropic-ai/sdk';
import type { FastifyInstance } from 'fastify';
import OpenAI from 'openai';
import type { Clock } from '../../src/contract/clock.ts';
import type { ProviderConfig, ResolvedConfig } from '../../src/contract/config.ts';
import type { HttpLimits } from '../../src/http/edge.ts';
import { createHttpServer } from '../../src/http/server.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { createProviderConfig } from './adapter-calls.ts';
import { ScriptedService } from './http-service.ts';

export const CANARY = 'sk-canary-0123456789abcdef';

export interface TestEdge extends AsyncDisposable {
  readonly app: FastifyInstance;
  readonly service: ScriptedService;
  readonly url: string;
  readonly port: number;
  readonly openai: OpenAI;
  readonly anthropic: Anthropic;
  /** How many HTTP requests have arrived. */
  readonly arrivals: () => number;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
}

export async function startEdge(
  options: { limits?: Partial<HttpLimits>; clock?: Clock; config?: Partial<ResolvedConfig>; listenHost?: string } = {},
): Promise<TestEdge> {
  const service = new ScriptedService();
  const config = { ...createConfig(), ...options.config };
  const app = createHttpServer({
    service,
    config,
    clock: options.clock ?? systemClock,
    ...(options.limits && { limits: options.limits }),
  });
  let arrivals = 0;
  app.addHook('onRequest', async () => {
    arrivals += 1;
  });
  const url = await app.listen({ host: options.listenHost ?? '127.0.0.1', port: 0 });
  return {
    app,
    service,
    url,
    port: Number(new URL(url).port),
    openai: new OpenAI({ apiKey: 'client-key', baseURL: `${url}/v1` }),
    anthropic: new Anthropic({ apiKey: 'client-key', baseURL: url }),
    arrivals: () => arrivals,
    post: (path, body, headers = {}) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    [Symbol.asyncDispose]: async () => {
      app.server.closeAllConnections();
      await app.close();
    },
  };
}

/** Sends bytes as they are and gives everything that comes back until the server closes the socket. */
export function sendRaw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => (received += chunk));
    socket.on('close', () => resolve(received));
    socket.on('error', reject);
  });
}

export function createConfig(): ResolvedConfig {
  return {
    service: {
      timeoutMs: 600_000,
      asyncTimeoutMs: 86_400_000,
      queueDepthMax: 10_000,
      delivery: 'live',
      recovery: 'atLeastOnce',
    },
    defaults: { model: 'smart', maxTokens: 4_096 },
    log: { level: 'info' },
    store: { kind: 'memory', resultTtlMs: 86_400_000 },
    http: { host: '127.0.0.1', port: 0, bodyLimitBytes: 4_194_304 },
    providers: [createProvider('first', 'openai'), createProvider('claude', 'anthropic')],
    inactiveProviders: [],
    models: { smart: [{ provider: 'first', model: 'model-1' }] },
    ledger: { retainDays: 30 },
    webhooks: undefined,
  };
}

function createProvider(name: string, adapter: string): ProviderConfig {
  return createProviderConfig({ name, adapter, credentials: [{ id: `${name}#1`, apiKey: CANARY }] });
}
