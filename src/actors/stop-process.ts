/** How a supervisor ends one process: it asks, waits as long as the child's spec allows, and says how that went. */
import type { Clock } from '../contract/clock.ts';
import type { ExitReason, Process } from './process.ts';

/** How a child ends on request: at once, or within so many ms (`infinity`: however long it takes). */
export type ShutdownLimit = number | 'brutal-kill' | 'infinity';

/** Stops a process and tells its exit; `killed` when it is given up on. Never rejects, whatever the process does. */
export async function stopProcess(process: Process, limit: ShutdownLimit, clock: Clock): Promise<ExitReason> {
  const ended = endOf(process);
  if (limit === 'infinity') return ended;
  if (limit === 'brutal-kill') return { kind: 'killed' };
  const passed = Promise.withResolvers<ExitReason>();
  const timer = clock.setTimeout(() => {
    passed.resolve({ kind: 'killed' });
  }, limit);
  const reason = await Promise.race([ended, passed.promise]);
  clock.clearTimeout(timer);
  return reason;
}

async function endOf(process: Process): Promise<ExitReason> {
  try {
    await process.stop();
    return { kind: 'shutdown' };
  } catch (error) {
    return { kind: 'error', error };
  }
}
