/**
 * Ending well, within a bound. Draining keeps the port open, so that callers hear `shutting-down` in words they
 * understand and submitted results can still be fetched, until the open requests are settled; then the last responses
 * are written and the sockets closed. Whatever hangs is left behind when its time is over: the process is to end.
 */
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Clock } from '../contract/clock.ts';
import type { Service } from '../contract/service.ts';

/** What open requests get after the first signal. */
export const DRAIN_GRACE_MS = 25_000;
/** What they get after an exception nobody caught: the state behind it may be broken. */
export const CRASH_GRACE_MS = 5_000;

/** Beyond the grace: settling what is left, and writing the last responses. Together under 30 s. */
const SETTLE_MAX_MS = 2_000;
const CLOSE_MAX_MS = 2_000;
/** All that a second signal leaves time for. */
const FORCE_MAX_MS = 500;

export interface Running {
  readonly service: Service;
  readonly server: FastifyInstance;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Refuses new work, waits for the rest up to `graceMs`, closes. False when something had to be left behind. */
export async function drain(running: Running, graceMs: number): Promise<boolean> {
  const isSettled = await within(running, graceMs + SETTLE_MAX_MS, running.service.stop({ graceMs }));
  const isClosed = await within(running, CLOSE_MAX_MS, running.server.close());
  if (!isClosed) running.server.server.closeAllConnections();
  return isSettled;
}

/** Cuts what is open and gives the service a moment to settle its books. */
export async function force(running: Running): Promise<void> {
  const open = running.service.openRequests();
  const submitted = open.filter(({ mode }) => mode === 'async').length;
  running.logger.warn(
    { actor: 'daemon', open: open.length, submitted },
    'cutting what is open; submitted requests are lost',
  );
  // The requests end first, as cut short by us, and their callers hear it before the sockets go.
  await within(running, FORCE_MAX_MS, running.service.stop({ graceMs: 0 }));
  running.server.server.close();
  running.server.server.closeAllConnections();
}

/** Waits for `work` up to `limitMs`; true when it ended well in time. Never rejects. */
export async function within(
  { clock, logger }: Pick<Running, 'clock' | 'logger'>,
  limitMs: number,
  work: PromiseLike<unknown>,
): Promise<boolean> {
  const limit = Promise.withResolvers<boolean>();
  const timer = clock.setTimeout(() => limit.resolve(false), limitMs);
  const ended = Promise.resolve(work).then(
    () => true,
    (error: unknown) => {
      logger.error({ actor: 'daemon', err: error }, 'stopping failed');
      return false;
    },
  );
  const isEnded = await Promise.race([ended, limit.promise]);
  clock.clearTimeout(timer);
  return isEnded;
}
