/**
 * Kills a daemon again and again while callers use it, and hands over everything that was seen. Some lives end while Node is
 * still starting, some while the file is being recovered, most in the middle of traffic.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Dice } from '../../simulation/dice.ts';
import { Callers } from './caller.ts';
import { type Life, startDaemon, writeDaemonConfig } from './daemon.ts';
import type { History } from './history.ts';
import { readRows } from './rows.ts';
import { Upstream } from './upstream.ts';

export interface KillPlan {
  readonly seed: string;
  readonly kills: number;
  /** Whether there are to be more kills than that, by what was seen so far; at most `killsMax` in all. */
  readonly needsMore?: (seen: KillsSoFar) => boolean;
  readonly killsMax?: number;
  readonly callers: number;
  /** What Node runs; default: the sources. */
  readonly main?: string;
  /** What open requests get at the end. */
  readonly restMs: number;
  readonly onKill?: (kill: number) => void;
}

/** What is known while the daemon is still killed: everything but the rows of its file. */
export type KillsSoFar = Omit<KillReport, 'rows'>;

export interface KillReport extends History {
  /** How many lives got so far as to listen. */
  readonly listening: number;
  /** What daemons said that should not have been said. */
  readonly complaints: readonly string[];
  /** What each life has logged. */
  readonly logs: readonly string[];
}

/** News and warnings, and that a write was not waited for because its request was cancelled meanwhile. */
const ORDINARY = /"level":(?:30|40),|did not answer within/;
/** Poison ends with its third process. */
const LAST_KILLS = 3;
/** Before each of these, so that what can end has ended: longer than the provider takes. What has not is run again. */
const LAST_REST_MS = 700;

export async function runKills(plan: KillPlan): Promise<KillReport> {
  const folder = await mkdtemp(join(tmpdir(), 'switchgear-kills-'));
  const dice = new Dice(`kills/${plan.seed}`);
  await using upstream = new Upstream(dice.fork('upstream'));
  const { config, store } = writeDaemonConfig(folder, await upstream.listen());
  const lives = new Lives(() => startDaemon(config, folder, plan.main), upstream);
  const callers = new Callers(lives, dice.fork('callers'));
  try {
    await lives.liveWell();
    const traffic = callers.live(plan.callers);
    const isEnough = () => plan.needsMore?.(pick(callers, upstream, lives)) !== true;
    for (let kill = 1; kill <= (plan.killsMax ?? plan.kills); kill++) {
      if (kill > plan.kills && isEnough()) break;
      await lives.liveUntilKilled(dice);
      plan.onKill?.(kill);
    }
    callers.stop();
    await lives.start();
    await traffic;
    for (let kill = 0; kill < LAST_KILLS; kill++) await lives.restWhileRunning();
    await callers.readAll(plan.restMs);
    await lives.end();
    return { ...pick(callers, upstream, lives), rows: readRows(store) };
  } finally {
    await lives.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function pick({ wishes, seen }: Callers, { calls }: Upstream, { listening, complaints, logs }: Lives): KillsSoFar {
  return { wishes, seen, calls, listening, complaints, logs };
}

class Lives {
  readonly complaints: string[] = [];
  readonly logs: string[] = [];
  listening = 0;
  readonly #startDaemon: () => Life;
  readonly #upstream: Upstream;
  #life = 0;
  #daemon: Life | undefined;
  #isListening = false;
  #url = Promise.withResolvers<string | undefined>();

  constructor(start: () => Life, upstream: Upstream) {
    this.#startDaemon = start;
    this.#upstream = upstream;
  }

  /** Where the living daemon listens; between two lives whoever asks waits. */
  url(): Promise<string | undefined> {
    return this.#url.promise;
  }

  async start(): Promise<void> {
    const daemon = this.#begin();
    if ((await daemon.url) === undefined) throw new Error(`expected the daemon to listen, got: ${daemon.output}`);
  }

  /** Ends before it is used, so that what Node has compiled is kept: the next lives start as fast as they can. */
  async liveWell(): Promise<void> {
    const daemon = this.#begin();
    await daemon.url;
    const code = await daemon.end('SIGTERM');
    this.logs.push(daemon.output);
    if (code !== 0) this.complaints.push(`the first daemon ended with ${code}: ${daemon.output}`);
    this.#forget();
  }

  /** Every third life or so ends before it listens, and there may be several of these in a row. */
  async liveUntilKilled(dice: Dice): Promise<void> {
    const daemon = this.#begin();
    switch (dice.weighted({ starting: 0.2, recovering: 0.2, serving: 0.6 })) {
      case 'starting':
        await Promise.race([sleep(dice.integer(0, 300)), daemon.url]);
        break;
      case 'recovering':
        await Promise.race([sleep(dice.integer(300, 1_500)), daemon.url]);
        break;
      case 'serving':
        await daemon.url;
        await sleep(dice.chance(0.3) ? dice.integer(0, 50) : dice.logUniform(50, 1_500));
    }
    await this.#kill(daemon);
  }

  /** Lets everything that can end, end; then kills what hangs and starts again. */
  async restWhileRunning(): Promise<void> {
    await sleep(LAST_REST_MS);
    const daemon = this.#daemon;
    if (daemon !== undefined) await this.#kill(daemon);
    await this.start();
  }

  /** As it ends in ordinary times. */
  async end(): Promise<void> {
    const code = await this.#daemon?.end('SIGTERM');
    this.logs.push(this.#daemon?.output ?? '');
    if (code !== 0) this.complaints.push(`the last daemon ended with ${code}: ${this.#daemon?.output}`);
    this.#url.resolve(undefined);
  }

  async close(): Promise<void> {
    await this.#daemon?.end('SIGKILL');
    this.#url.resolve(undefined);
  }

  #begin(): Life {
    this.#upstream.beginLife(++this.#life);
    const daemon = this.#startDaemon();
    this.#daemon = daemon;
    // It never rejects.
    void daemon.url.then((url) => {
      if (url === undefined) return;
      this.listening += 1;
      this.#isListening = true;
      this.#url.resolve(url);
    });
    return daemon;
  }

  async #kill(daemon: Life): Promise<void> {
    const code = await daemon.end('SIGKILL');
    this.logs.push(daemon.output);
    const said = daemon.output.split('\n').filter((line) => line !== '' && !ORDINARY.test(line));
    if (code !== null || said.length > 0)
      this.complaints.push(`life ${this.#life} ended with ${code}: ${said.join('\n')}`);
    this.#forget();
  }

  /** Whoever waits for a daemon that never listened waits for the next one. */
  #forget(): void {
    if (this.#isListening) this.#url = Promise.withResolvers();
    this.#isListening = false;
  }
}
