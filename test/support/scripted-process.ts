/** Processes that end as told, for tests of what supervises them. */
import type { ExitReason, Process } from '../../src/supervision/process.ts';
import type { ChildSpec } from '../../src/supervision/child-spec.ts';

export class ScriptedProcess implements Process {
  readonly id: string;
  readonly incarnation: number;
  isStopped = false;
  /** What `stop` does; the process has ended when it resolves. */
  onStop: () => Promise<void> = async () => {};
  readonly #listeners = new Set<(reason: ExitReason) => void>();
  #exit: ExitReason | undefined;

  constructor(id: string, incarnation: number) {
    this.id = id;
    this.incarnation = incarnation;
  }

  get isAlive(): boolean {
    return this.#exit === undefined;
  }

  onExit(listener: (reason: ExitReason) => void): void {
    if (this.#exit === undefined) this.#listeners.add(listener);
    else listener(this.#exit);
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await this.onStop();
    this.exit({ kind: 'shutdown' });
  }

  exit(reason: ExitReason): void {
    if (this.#exit !== undefined) return;
    this.#exit = reason;
    for (const listener of this.#listeners) listener(reason);
  }

  kill(): void {
    this.exit({ kind: 'killed' });
  }

  crash(): void {
    this.exit({ kind: 'error', error: new Error(`${this.id} crashed`) });
  }
}

/** Starts scripted processes and keeps every one of them, and a journal of what happened in which order. */
export class ProcessFactory {
  readonly journal: string[] = [];
  readonly started: ScriptedProcess[] = [];
  /** Called before a process of this id is made; may throw or wait. */
  readonly beforeStart = new Map<string, (incarnation: number) => void | Promise<void>>();
  readonly onStop = new Map<string, () => Promise<void>>();

  spec(id: string, changes: Partial<ChildSpec> = {}): ChildSpec {
    return {
      id,
      start: async ({ incarnation }) => {
        this.journal.push(`start ${id}`);
        await this.beforeStart.get(id)?.(incarnation);
        const process = new ScriptedProcess(id, incarnation);
        process.onStop = async () => {
          this.journal.push(`stop ${id}`);
          await this.onStop.get(id)?.();
        };
        this.started.push(process);
        this.journal.push(`started ${id}`);
        return process;
      },
      ...changes,
    };
  }

  /** Every living process of this id; never more than one if supervision is right. */
  living(id: string): readonly ScriptedProcess[] {
    return this.started.filter((process) => process.id === id && process.isAlive);
  }

  /** The one living process of this id. */
  the(id: string): ScriptedProcess {
    const [process, ...others] = this.living(id);
    if (process === undefined || others.length > 0)
      throw new TypeError(`expected one living ${id}, got: ${this.living(id).length}`);
    return process;
  }

  get aliveCount(): number {
    return this.started.filter((process) => process.isAlive).length;
  }
}
