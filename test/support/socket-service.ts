/**
 * A whole service on the machine's clock, with the real adapters, behind the real HTTP edge on a free port: what a caller
 * and a provider see of it crosses sockets. It tells what is left of requests that are over, what was sent to it, and what
 * it blames its providers for.
 */
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { startService } from '../../src/compose.ts';
import type { ProviderInput, SwitchgearConfig } from '../../src/config/input.ts';
import { resolveConfig } from '../../src/config/resolve.ts';
import type { Clock } from '../../src/contract/clock.ts';
import type { Events } from '../../src/contract/events.ts';
import type { Service } from '../../src/contract/service.ts';
import { createHttpServer } from '../../src/http/server.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { leftoversOf, type NOTHING_LEFT, PRICE } from './test-runtime.ts';

/** One HTTP request as it arrived at the edge. */
export interface Arrival {
  readonly atMs: number;
  /** Of the answer, once it is sent. */
  status: number | undefined;
}

export interface SocketService extends AsyncDisposable {
  readonly service: Service;
  readonly url: string;
  readonly port: number;
  /** The official clients with their default settings. */
  readonly openai: OpenAI;
  readonly anthropic: Anthropic;
  readonly arrivals: readonly Arrival[];
  /** How requests ended, in that order. */
  readonly settled: readonly Events['request.settled'][];
  readonly leftovers: () => typeof NOTHING_LEFT;
  /** What providers are blamed for, and what their credentials may do. */
  readonly blame: () => Promise<Readonly<Record<string, unknown>>>;
}

/** The machine's clock without chance: a backoff is half its ceiling. */
export const evenClock: Clock = { ...systemClock, random: () => 0.5 };

/** A provider `up` on a server of a test, with model `m` at `PRICE`; its health is never looked at. */
export function upstreamInput(adapter: string, url: string, input: Partial<ProviderInput> = {}): ProviderInput {
  return {
    adapter,
    baseURL: url,
    apiKey: 'sk-socket-0123456789abcdef',
    models: { m: { price: PRICE } },
    health: { intervalMs: 86_400_000 },
    ...input,
  };
}

/** Starts a service and the edge in front of it. */
export async function startSocketService(config: SwitchgearConfig, clock: Clock = evenClock): Promise<SocketService> {
  const service = await startService(config, { clock, env: {} });
  const settled: Events['request.settled'][] = [];
  service.on('request.settled', (event) => settled.push(event));
  const { config: resolved } = resolveConfig(config, { env: {} });
  const server = createHttpServer({ service, config: resolved, clock });
  const arrivals: Arrival[] = [];
  server.addHook('onRequest', async (_request, reply) => {
    const arrival: Arrival = { atMs: performance.now(), status: undefined };
    arrivals.push(arrival);
    reply.raw.once('finish', () => {
      arrival.status = reply.raw.statusCode;
    });
  });
  const url = await server.listen({ host: '127.0.0.1', port: 0 });
  return {
    service,
    url,
    port: Number(new URL(url).port),
    openai: new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused' }),
    anthropic: new Anthropic({ baseURL: url, apiKey: 'unused' }),
    arrivals,
    settled,
    leftovers: () => leftoversOf(service),
    blame: () => blameOf(service),
    [Symbol.asyncDispose]: async () => {
      await service.stop({ graceMs: 0 });
      server.server.closeAllConnections();
      await server.close();
    },
  };
}

async function blameOf(service: Service): Promise<Readonly<Record<string, unknown>>> {
  const health = await service.healthStatus();
  return Object.fromEntries(
    Object.entries(service.providerStates()).map(([name, { breaker, gate, credentials, concurrency }]) => {
      const { status, recentErrors } = health[name] ?? {};
      const { state, failureCount, successCount, lastError } = breaker;
      return [
        name,
        {
          state,
          failureCount,
          successCount,
          lastError,
          gate,
          credentials,
          limit: concurrency.limit,
          status,
          recentErrors,
        },
      ];
    }),
  );
}
