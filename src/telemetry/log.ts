/**
 * The log: one line per settled request, one warning per failed attempt, one line per breaker transition and restart.
 * Only the fields named here are written, so that no prompt, answer or key can slip in.
 */
import { pino, type Logger } from 'pino';
import type { Emitter } from './emitter.ts';

export type { Logger } from 'pino';

/** A logger that says nothing: the library's default. */
export function createSilentLogger(): Logger {
  return pino({ level: 'silent' });
}

/** Writes what happens to `logger`. */
export function logEvents(emitter: Emitter, logger: Logger): void {
  emitter.on('request.settled', ({ requestId, outcome, code, provider, model, totalMs, attempts, usage, costUsd }) => {
    const fields = { requestId, provider, model, outcome, code, totalMs, attempts: attempts.length, tokens: usage, costUsd };
    logger.info(fields, `request ${outcome}`);
  });
  emitter.on('attempt.failed', ({ requestId, attempt, provider, model, outcome, code, kind, status, message, durationMs, retryAfterMs }) => {
    const fields = { requestId, attempt, provider, model, outcome, code, kind, status, error: message, durationMs, retryAfterMs };
    logger.warn(fields, `attempt ${outcome}`);
  });
  emitter.on('breaker.opened', (fields) => {
    logger.warn(fields, 'breaker opened');
  });
  emitter.on('breaker.halfOpened', (fields) => {
    logger.info(fields, 'breaker half-open');
  });
  emitter.on('breaker.closed', (fields) => {
    logger.info(fields, 'breaker closed');
  });
  emitter.on('credential.disabled', (fields) => {
    logger.error(fields, 'credential taken out: set a working key and reload, or restart the provider');
  });
  emitter.on('health.changed', (fields) => {
    logger.info(fields, 'health changed');
  });
  emitter.on('check.failed', (fields) => {
    logger.warn(fields, 'health check failed');
  });
  emitter.on('actor.crashed', (fields) => {
    logger.error(fields, 'actor crashed');
  });
  emitter.on('actor.restarted', (fields) => {
    logger.warn(fields, 'actor restarted');
  });
  emitter.on('provider.gaveUp', (fields) => {
    logger.error(fields, 'provider given up: its actor kept crashing; revive it with restart');
  });
  emitter.on('provider.revived', (fields) => {
    logger.info(fields, 'provider revived');
  });
  emitter.on('config.reloaded', (fields) => {
    logger.info(fields, 'config reloaded');
  });
  emitter.on('store.failed', (fields) => {
    logger.error(fields, 'request store failed');
  });
  emitter.on('service.draining', (fields) => {
    logger.info(fields, 'draining');
  });
  emitter.on('service.failed', (fields) => {
    logger.fatal(fields, 'service failed: its supervisor gave up');
  });
  emitter.on('listener.failed', (fields) => {
    logger.error(fields, 'a listener threw');
  });
}
