/**
 * The log: one line per settled request, one warning per failed attempt, one line per breaker transition and restart.
 * Events carry no prompt, answer or key, and of the two that describe a request only the fields named here are written.
 */
import { pino, type Logger } from 'pino';
import type { EventName, Events } from '../contract/events.ts';
import type { Emitter } from './emitter.ts';

export type { Logger } from 'pino';

type Level = 'info' | 'warn' | 'error' | 'fatal';

/** Events that are written as they are. */
const LINES: Partial<Record<EventName, readonly [Level, string]>> = {
  'breaker.opened': ['warn', 'breaker opened'],
  'breaker.halfOpened': ['info', 'breaker half-open'],
  'breaker.closed': ['info', 'breaker closed'],
  'credential.disabled': ['error', 'credential taken out: set a working key and reload, or restart the provider'],
  'health.changed': ['info', 'health changed'],
  'check.failed': ['warn', 'health check failed'],
  'actor.crashed': ['error', 'actor crashed'],
  'actor.restarted': ['warn', 'actor restarted'],
  'provider.gaveUp': ['error', 'provider given up: its actor kept crashing; revive it with restart'],
  'provider.revived': ['info', 'provider revived'],
  'provider.restored': ['info', 'provider goes on from what was known of it before the restart'],
  'state.ignored': ['warn', 'stored state of a provider not understood: left out'],
  'config.reloaded': ['info', 'config reloaded'],
  'store.failed': ['error', 'request store failed'],
  'webhook.postponed': ['warn', 'webhook not delivered yet'],
  'webhook.failed': ['error', 'webhook given up: its receiver has to ask for the result'],
  'batch.created': ['info', 'batch taken in'],
  'batch.finished': ['info', 'batch finished'],
  'service.recovered': ['info', 'recovered'],
  'service.draining': ['info', 'draining'],
  'service.failed': ['fatal', 'service failed: its supervisor gave up'],
  'listener.failed': ['error', 'a listener threw'],
};

/** A logger that says nothing: the library's default. */
export function createSilentLogger(): Logger {
  return pino({ level: 'silent' });
}

/** Writes what happens to `logger`. */
export function logEvents(emitter: Emitter, logger: Logger): void {
  emitter.on('request.settled', (event) => {
    const level = event.outcome === 'failed' ? 'warn' : 'info';
    logger[level](settledFields(event), `request ${event.outcome}`);
  });
  emitter.on('attempt.failed', (event) => {
    logger.warn(attemptFields(event), `attempt ${event.outcome}`);
  });
  for (const [name, [level, message]] of Object.entries(LINES)) {
    // The keys of `LINES` are event names.
    emitter.on(name as EventName, (event) => {
      logger[level](event, message);
    });
  }
}

function settledFields(event: Events['request.settled']): Readonly<Record<string, unknown>> {
  const { requestId, outcome, code, message, provider, model, totalMs, attempts, usage, costUsd } = event;
  return {
    requestId,
    provider,
    model,
    outcome,
    code,
    error: message,
    totalMs,
    attempts: attempts.length,
    tokens: usage,
    costUsd,
  };
}

function attemptFields(event: Events['attempt.failed']): Readonly<Record<string, unknown>> {
  const { requestId, attempt, provider, model, outcome, code, kind, status, message, durationMs, retryAfterMs } = event;
  return { requestId, attempt, provider, model, outcome, code, kind, status, error: message, durationMs, retryAfterMs };
}
