/** One start of a child: bounded in time, and given up when nobody wants it any more. */
import type { Clock } from '../contract/clock.ts';
import type { ChildSpec, Started } from './child-spec.ts';
import { SupervisorError } from './process.ts';
import { endProcess } from './stop-process.ts';

/** Longer than an orderly start takes, and short enough that a child that hangs does not hold up its siblings for ever. */
const START_TIMEOUT_MS = 30_000;

export interface Launch {
  readonly id: string;
  readonly incarnation: number;
  readonly start: ChildSpec['start'];
  readonly startTimeoutMs: ChildSpec['startTimeoutMs'];
}

/**
 * What `start` gives. When `giveUp` aborts, or the time is over, it is not waited for: its signal aborts, and what comes of it
 * later is ended at once.
 * @throws {SupervisorError} `timeout`, `stopped`
 * @throws what `start` throws
 */
export async function launch(
  { id, incarnation, start, startTimeoutMs = START_TIMEOUT_MS }: Launch,
  giveUp: AbortController,
  clock: Clock,
): Promise<Started> {
  const { signal } = giveUp;
  const givenUp = Promise.withResolvers<never>();
  const leave = () => {
    givenUp.reject(
      signal.reason instanceof SupervisorError
        ? signal.reason
        : new SupervisorError('stopped', `child ${id} was stopped while it started`),
    );
  };
  signal.addEventListener('abort', leave);
  const expire = () => {
    giveUp.abort(new SupervisorError('timeout', `child ${id} did not start within ${startTimeoutMs} ms`));
  };
  const timer = startTimeoutMs === 'infinity' ? undefined : clock.setTimeout(expire, startTimeoutMs);
  const starting = begin(start, { incarnation, signal });
  try {
    return await Promise.race([starting, givenUp.promise]);
  } catch (error) {
    void starting.then(endProcess, () => undefined);
    throw error;
  } finally {
    if (timer !== undefined) clock.clearTimeout(timer);
  }
}

async function begin(start: ChildSpec['start'], context: Parameters<ChildSpec['start']>[0]): Promise<Started> {
  return start(context);
}
