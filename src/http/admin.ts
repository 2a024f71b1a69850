/** What an operator reads and does: the tree, providers, queue, costs, open requests, explanations. Plain JSON. */
import type { FastifyInstance } from 'fastify';
import type { SwitchgearError } from '../contract/errors.ts';
import type { LedgerQuery } from '../contract/records.ts';
import type { ChildState } from '../contract/state.ts';
import { refuse } from './check.ts';
import type { Edge } from './edge.ts';
import { HttpRefusal } from './failure.ts';
import { openaiWire } from './openai/wire.ts';
import { readQuery } from './query.ts';
import { parseRequestOptions } from './request-headers.ts';

const REQUESTS_DEFAULT = 100;
const REQUESTS_MAX = 1_000;
const COST_QUERY = ['since', 'until', 'provider', 'model', 'tenant', 'tag'];
const ACTOR_VERBS = ['suspend', 'resume', 'restart'] as const;

export function registerAdminRoutes(app: FastifyInstance, edge: Edge): void {
  const { service } = edge;

  app.get('/admin/tree', async () => ({ children: service.supervisor.children() }));
  app.get('/admin/providers', async () => ({ providers: await describeProviders(edge) }));
  app.get('/admin/queue', async () => service.queueStatus());
  app.get('/admin/costs', async (request) => service.costSummary(parseCostQuery(readQuery(request.query, COST_QUERY))));
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
      if (findActor(service.supervisor.children(), id) === undefined) throw notFound('actor', '/admin/tree');
      await service.supervisor[verb](id);
      return findActor(service.supervisor.children(), id) ?? { id };
    });
  }

  app.post<{ Params: { name: string } }>('/admin/providers/:name/test', async (request) => {
    const { name } = request.params;
    if (!Object.hasOwn(service.providerStates(), name)) throw notFound('provider', '/admin/providers');
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

function parseCostQuery(query: Readonly<Record<string, string | undefined>>): LedgerQuery {
  const { since, until, ...names } = query;
  return {
    ...names,
    ...(since !== undefined && { since: parseTime(since, 'since') }),
    ...(until !== undefined && { until: parseTime(until, 'until') }),
  };
}

function parseTime(value: string, name: string): number {
  const at = /^\d{1,15}$/.test(value) ? Number(value) : Date.parse(value);
  if (!Number.isFinite(at)) throw refuse(name, 'epoch milliseconds or an ISO 8601 time', value);
  return at;
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

function notFound(kind: string, list: string): HttpRefusal {
  return new HttpRefusal(404, `expected the ${kind} to be one of GET ${list}, got: an unknown name`);
}

function renderError(error: SwitchgearError, edge: Edge): object {
  const { code, provider, retryAfterMs } = error;
  return { code, message: edge.scrub(error.message), provider, retryAfterMs };
}
