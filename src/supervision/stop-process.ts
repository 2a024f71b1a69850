/** How a supervisor ends one process: it asks, waits as long as the child's spec allows, and says how that went. */
import type { Clock } from '../contract/clock.ts';
import type { ExitReason, Process } from './process.ts';

/** How a child ends on request: at once, or within so many ms (`infinity`: however long it takes). */
export type ShutdownLimit = number | 'brutal-kill' | 'infinity';

const LIMIT_MS = 5_000;
const KILLED: ExitReason = { kind: 'killed' };

/** A supervisor has children of its own to wait for. */
export function defaultLimit(process: Process, type: 'worker' | 'supervisor' | undefined): ShutdownLimit {
  return type === 'supervisor' || process.children !== undefined ? 'infinity' : LIMIT_MS;
}

/** Stops a process and tells its exit; `killed` when it is given up on. Never rejects, whatever the process does. */
export async function stopProcess(process: Process, limit: ShutdownLimit, clock: Clock): Promise<ExitReason> {
  if (limit === 'brutal-kill') {
    endProcess(process);
    return KILLED;
  }
  const ended = endOf(process);
  if (limit === 'infinity') return ended;
  const passed = Promise.withResolvers<ExitReason>();
  const timer = clock.setTimeout(() => {
    endProcess(process);
    passed.resolve(KILLED);
  }, limit);
  const reason = await Promise.race([ended, passed.promise]);
  clock.clearTimeout(timer);
  return reason;
}

/** Ends a process at once; one that cannot be killed is asked to stop, and not waited for. Never throws. */
export function endProcess(process: Process): void {
  try {
    if (process.kill === undefined) process.stop().catch(() => undefined);
    else process.kill();
  } catch {
    // Whatever is left of it is nobody's any more.
  }
}

/** A process that ends otherwise than it was asked to has ended all the same. */
async function endOf(process: Process): Promise<ExitReason> {
  let told: ExitReason | undefined;
  try {
    process.onExit((reason) => {
      told = reason;
    });
    await process.stop();
    return told ?? { kind: 'shutdown' };
  } catch (error) {
    return told ?? { kind: 'error', error };
  }
}
