/** How a supervisor ends one process: it asks, waits as long as the child's spec allows, and says how that went. */
import type { Clock } from '../contract/clock.ts';
import type { Started } from './child-spec.ts';
import { type ExitReason, type Process, tellQuietly } from './process.ts';

/** How a child ends on request: at once, or within so many ms (`infinity`: however long it takes). */
export type ShutdownLimit = number | 'brutal-kill' | 'infinity';

const LIMIT_MS = 5_000;
const KILLED: ExitReason = { kind: 'killed' };

/** A supervisor has children of its own to wait for. */
export function defaultLimit(process: Process, type: 'worker' | 'supervisor' | undefined): ShutdownLimit {
  return type === 'supervisor' || process.children !== undefined ? 'infinity' : LIMIT_MS;
}

/**
 * Stops a process and tells its exit; `killed` when it is given up on, which it is as soon as `killed` aborts. Never rejects,
 * whatever the process does.
 */
export async function stopProcess(
  process: Process,
  limit: ShutdownLimit,
  clock: Clock,
  killed: AbortSignal,
): Promise<ExitReason> {
  if (limit === 'brutal-kill') {
    endProcess(process);
    return KILLED;
  }
  const passed = Promise.withResolvers<ExitReason>();
  const giveUp = () => {
    endProcess(process);
    passed.resolve(KILLED);
  };
  killed.addEventListener('abort', giveUp);
  const timer = limit === 'infinity' ? undefined : clock.setTimeout(giveUp, limit);
  const reason = await Promise.race([endOf(process), passed.promise]);
  killed.removeEventListener('abort', giveUp);
  if (timer !== undefined) clock.clearTimeout(timer);
  return reason;
}

/** Ends what a start gave at once; one that cannot be killed is asked to stop, and not waited for. Never throws. */
export function endProcess(process: Started): void {
  if (process === 'ignore') return;
  // Whatever is left of it is nobody's any more.
  tellQuietly(() => (process.kill === undefined ? process.stop() : process.kill()));
}

/** A process that ends otherwise than it was asked to has ended all the same. */
async function endOf(process: Process): Promise<ExitReason> {
  const told = Promise.withResolvers<ExitReason>();
  let reason: ExitReason | undefined;
  try {
    process.onExit((given) => {
      reason = given;
      told.resolve(given);
    });
    await Promise.race([process.stop(), told.promise]);
    return reason ?? { kind: 'shutdown' };
  } catch (error) {
    return reason ?? { kind: 'error', error };
  }
}
