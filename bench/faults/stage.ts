/** The two simulated upstreams that one fault is played on, and their log in the time of the fault. */
import { systemClock } from '../../src/runtime/system-clock.ts';
import { createSimulator, type Simulator } from '../../src/simulator/server.ts';
import { type ProviderAttempt, readAttempts, type Side, WORDS } from './history.ts';

/** Speed of the upstreams: a whole answer takes about a second. */
const TOKENS_PER_SECOND = 60;

/** What ends every fault. */
const HEALTHY = { fault: null, failures: null, script: null };

/** One upstream, and when its log began. */
interface Upstream {
  readonly simulator: Simulator;
  readonly createdAtMs: number;
}

/** Two upstreams of its own for one fault. */
export class Stage implements AsyncDisposable {
  /** Unique on the board; letters, digits and dashes. */
  readonly name: string;
  readonly #upstreams: Readonly<Record<Side, Upstream>>;

  private constructor(name: string, upstreams: Readonly<Record<Side, Upstream>>) {
    this.name = name;
    this.#upstreams = upstreams;
  }

  /** Starts both upstreams, healthy. */
  static async open(name: string): Promise<Stage> {
    const [primary, fallback] = await Promise.all([startUpstream('primary'), startUpstream('fallback')]);
    return new Stage(name, { primary, fallback });
  }

  /** Origin of one upstream, without a path. */
  url(side: Side): string {
    return this.#upstreams[side].simulator.url;
  }

  /** Makes the upstreams behave as told, from now on. */
  misbehave(patches: Readonly<Partial<Record<Side, Parameters<Simulator['configure']>[0]>>>): void {
    for (const side of ['primary', 'fallback'] as const) {
      this.#upstreams[side].simulator.clearLog();
      this.#upstreams[side].simulator.configure(patches[side] ?? {});
    }
  }

  /** The primary is healthy from now on. */
  recover(): void {
    this.#upstreams.primary.simulator.configure(HEALTHY);
  }

  /** What one upstream was asked since `misbehave`; times are counted from `beganAtMs`. */
  attempts(side: Side, beganAtMs: number): readonly ProviderAttempt[] {
    const { simulator, createdAtMs } = this.#upstreams[side];
    return readAttempts(simulator.log(), beganAtMs - createdAtMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(Object.values(this.#upstreams).map(({ simulator }) => simulator.close()));
  }
}

async function startUpstream(name: Side): Promise<Upstream> {
  const createdAtMs = systemClock.nowMs();
  const simulator = await createSimulator({
    name,
    clock: systemClock,
    tokensPerSecond: TOKENS_PER_SECOND,
    outputTokens: WORDS,
  });
  return { simulator, createdAtMs };
}
