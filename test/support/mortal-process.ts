/**
 * What a service runs on in a process that can die at any moment: its clock stops firing, its store and its provider never
 * answer again, and what it wanted to write and had not written is not written. The machine's time goes on without it.
 */
import type { Adapter } from '../../src/contract/adapter.ts';
import type { Clock, TimerHandle } from '../../src/contract/clock.ts';
import type { Host } from '../../src/stores/sqlite/gateway.ts';
import { createInlineHost } from '../../src/stores/sqlite/inline-host.ts';
import type { EngineOptions } from '../../src/stores/sqlite/engine.ts';

export class MortalProcess implements Clock {
  readonly #machine: Clock;
  readonly #hosts: Host[] = [];
  isDead = false;

  constructor(machine: Clock) {
    this.#machine = machine;
  }

  /** Nothing that the process began has any effect from now on. Its file is free. */
  async die(): Promise<void> {
    this.isDead = true;
    await Promise.all(this.#hosts.map((host) => host.close()));
  }

  /** Gives what was waited for; the dead wait for ever. */
  async outlive<Value>(waited: Promise<Value>): Promise<Value> {
    try {
      return await waited;
    } finally {
      if (this.isDead) await new Promise<never>(() => undefined);
    }
  }

  nowMs(): number {
    return this.#machine.nowMs();
  }

  wallMs(): number {
    return this.#machine.wallMs();
  }

  setTimeout(callback: () => void, delayMs: number): TimerHandle {
    return this.#machine.setTimeout(() => {
      if (!this.isDead) callback();
    }, delayMs);
  }

  clearTimeout(handle: TimerHandle): void {
    this.#machine.clearTimeout(handle);
  }

  random(): number {
    return this.#machine.random();
  }

  randomBytes(size: number): Uint8Array {
    return this.#machine.randomBytes(size);
  }

  /** The engine of a store; groups that were not run yet die with the process. */
  openHost(options: EngineOptions): Host {
    const host = createInlineHost(options);
    this.#hosts.push(host);
    return {
      ...host,
      run: (group) => (this.isDead ? new Promise<never>(() => undefined) : this.outlive(host.run(group))),
    };
  }

  wrapAdapter(adapter: Adapter): Adapter {
    const outlive = <Value>(waited: Promise<Value>) => this.outlive(waited);
    return {
      ...adapter,
      send: async (call) => {
        await outlive(Promise.resolve());
        return outlive(adapter.send(call));
      },
      stream: async function* streamMortally(call) {
        await outlive(Promise.resolve());
        const parts = adapter.stream(call)[Symbol.asyncIterator]();
        for (;;) {
          const next = await outlive(Promise.resolve(parts.next()));
          if (next.done === true) return;
          yield next.value;
        }
      },
    };
  }
}
