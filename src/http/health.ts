/** Probes for whatever runs the process: alive, and able to answer. */
import type { FastifyInstance } from 'fastify';
import type { ErrorCode } from '../contract/errors.ts';
import type { Service } from '../contract/service.ts';
import type { ProviderState } from '../contract/state.ts';
import type { Edge } from './edge.ts';

export function registerHealthRoutes(app: FastifyInstance, edge: Edge): void {
  app.get('/healthz', async () => ({ status: 'ok' }));

  app.get('/readyz', async (_request, reply) => {
    const readiness = judgeReadiness(edge.service);
    if (readiness.code !== undefined) reply.code(503).header('x-switchgear-error', readiness.code);
    return { status: readiness.status };
  });
}

function judgeReadiness(service: Service): { status: string; code?: ErrorCode } {
  if (service.state !== 'running') return { status: service.state, code: 'shutting-down' };
  const router = service.supervisor.children().find(({ id }) => id === 'service');
  if (router?.state === 'suspended') return { status: 'suspended', code: 'providers-unavailable' };
  const isUsable = Object.values(service.providerStates()).some(canAnswer);
  return isUsable ? { status: 'ready' } : { status: 'no-usable-provider', code: 'providers-unavailable' };
}

/** A provider held by a rate limit is busy, not gone. */
function canAnswer(state: ProviderState): boolean {
  const hasCredential = state.credentials.some(
    (credential) => credential.state === 'usable' || credential.state === 'held',
  );
  return !state.isDown && !state.isSuspended && state.breaker.state !== 'open' && hasCredential;
}
