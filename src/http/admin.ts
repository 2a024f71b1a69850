/** What an operator reads and does: the tree, providers, queue, costs, open requests, explanations. Plain JSON. */
import type { FastifyInstance } from 'fastify';
import type { SwitchgearError } from '../contract/errors.ts';
import type { ChildState } from '../contract/state.ts';
import { listNames, refuse, shorten } from './check.ts';
import { summarizeCosts } from './costs.ts';
import type { Edge } from './edge.ts';
import { HttpRefusal } from './failure.ts';
import { openaiWire } from './openai/wire.ts';
import { readQuery } from './query.ts';
import { parseRequestOptions } from './request-headers.ts';

const REQUESTS_DEFAULT = 100;
const REQUESTS_MAX = 1_000;
const ACTOR_VERBS = ['suspend', 'resume', 'restart'] as const;

export function registerAdminRoutes(app: FastifyInstance, edge: Edge): void {
  const { service } = edge;

  app.get('/admin/tree', async () => ({ children: service.supervisor.children() }));
  app.get('/admin/providers', async () => ({
    providers: await describeProviders(edge),
    leftOut: edge.config.inactiveProviders.map(({ name, reason }) => ({ name, reason })),
  }));
  app.get('/admin/queue', async () => service.queueStatus());
  app.get('/admin/costs', async (request) => summarizeCosts(edge, request.query));
  app.get('/admin/requests', async (request) => {
    const limit = parseLimit(readQuery(request.query, ['limit'])['limit']);
    return { requests: service.openRequests().slice(0, limit) };
  });

  app.get('/admin/explain', async (request) => {
    const { model } = readQuery(request.query, ['model']);
    const messages = [{ role: 'user', content: 'explain' }] as const;
    return service.explain({ messages, ...(model !== undefined && { model }) }, parseRequestOptions(request.headers));
  });
  app.post('/admin/explain', async (request) => {
    return service.explain(openaiWire.parse(request.body).request, parseRequestOptions(request.headers));
  });

  for (const verb of ACTOR_VERBS) {
    app.post<{ Params: { id: string } }>(`/admin/actors/:id/${verb}`, async (request) => {
      const { id } = request.params;
      const known = service.supervisor.children();
      if (findActor(known, id) === undefined) throw notFound('actor', id, idsOf(known));
      await service.supervisor[verb](id);
      return findActor(service.supervisor.children(), id) ?? { id };
    });
  }

  app.post<{ Params: { name: string } }>('/admin/providers/:name/test', async (request) => {
    const { name } = request.params;
    const known = service.providerStates();
    if (!Object.hasOwn(known, name)) throw notFound('provider', name, Object.keys(known));
    const { ok, latencyMs, error } = await service.testConnection(name);
    return { ok, latencyMs, ...(error !== undefined && { error: renderError(error, edge) }) };
  });
}

async function describeProviders({ service }: Edge): Promise<object> {
  const health = await service.healthStatus();
  const states = service.providerStates();
  const names = new Set([...Object.keys(health), ...Object.keys(states)]);
  return Object.fromEntries([...names].map((name) => [name, { ...health[name], state: states[name] }]));
}

function parseLimit(value: string | undefined): number {
  if (value === undefined) return REQUESTS_DEFAULT;
  const limit = /^\d{1,6}$/.test(value) ? Number(value) : 0;
  if (limit < 1) throw refuse('limit', 'a positive integer', value);
  return Math.min(limit, REQUESTS_MAX);
}

function findActor(children: readonly ChildState[], id: string): ChildState | undefined {
  for (const child of children) {
    const found = child.id === id ? child : findActor(child.children ?? [], id);
    if (found !== undefined) return found;
  }
  return undefined;
}

function idsOf(children: readonly ChildState[]): readonly string[] {
  return children.flatMap((child) => [child.id, ...idsOf(child.children ?? [])]);
}

function notFound(kind: string, name: string, known: readonly string[]): HttpRefusal {
  return new HttpRefusal(404, `expected the ${kind} to be one of ${listNames(known)}, got: ${shorten(name)}`);
}

function renderError(error: SwitchgearError, edge: Edge): object {
  const { code, provider, retryAfterMs } = error;
  return { code, message: edge.scrub(error.message), provider, retryAfterMs };
}
