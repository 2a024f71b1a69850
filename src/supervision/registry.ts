/** Names of living processes. Actors are looked up here when they are used, never kept in a variable (R6). */
import type { Process } from './process.ts';

export class Registry {
  readonly #processes = new Map<string, Process>();
  readonly #waiters = new Map<string, Set<() => void>>();

  register(process: Process): void {
    this.#processes.set(process.id, process);
    const waiters = this.#waiters.get(process.id);
    this.#waiters.delete(process.id);
    for (const wake of waiters ?? []) wake();
  }

  /** Frees the name, unless a newer process has taken it. */
  unregister(process: Process): void {
    if (this.#processes.get(process.id) === process) this.#processes.delete(process.id);
  }

  find(id: string): Process | undefined {
    return this.#processes.get(id);
  }

  /** Resolves when a process of that name lives, at once if one does; rejects with the signal's reason. */
  waitFor(id: string, signal: AbortSignal): Promise<void> {
    if (this.#processes.has(id)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const waiters = this.#waiters.get(id) ?? new Set();
      this.#waiters.set(id, waiters);
      const onAbort = () => {
        waiters.delete(wake);
        reject(signal.reason);
      };
      const wake = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      waiters.add(wake);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}
