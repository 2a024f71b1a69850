/**
 * One process after the other: when each of them dies or is stopped, when the next one starts and on what wall clock, and what
 * has to be true of a world between two of them. A world without a durable store has one process.
 */
import type { TimerHandle } from '../../src/contract/clock.ts';
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { Dice } from './dice.ts';
import { Life } from './life.ts';
import type { DeathPoint } from './mortal-host.ts';
import { observe } from './observe.ts';
import type { DurabilityPlan } from './plan.ts';
import { isDead } from './steps.ts';
import type { World } from './world.ts';

const OPERATIONS_MAX = 500;
const CLOCK_MOVES_MS = 7_200_000;
/** Within so long of a start everything is running or waits where it will be found. */
const RECOVERY_MS = 2_000;
/** How long a check of a provider may take. */
const GONE_MS = 10_000;
/** A start that failed is tried again after this. */
const RETRY_MS = 1_000;
/** Lives by the dice end with this many; those of a list end with the list. */
const LIVES_MAX = 200;

export class Mortality {
  readonly #world: World;
  readonly #dice: Dice;
  /** Where processes die, one after the other; undefined: as the dice have it. */
  readonly #deathPoints: readonly DeathPoint[] | undefined;
  readonly #timers: TimerHandle[] = [];
  #lives = 0;
  #deaths = 0;
  #lastOffsetMs: number | undefined;
  /** Nobody dies any more. */
  isOver = false;

  constructor(world: World, deathPoints: readonly DeathPoint[] | undefined) {
    this.#world = world;
    this.#dice = world.dice.fork('mortality');
    this.#deathPoints = deathPoints;
  }

  /** How many processes there were. */
  get lives(): number {
    return this.#lives;
  }

  /** Whether the list of deaths has been lived through. */
  get isThrough(): boolean {
    return this.#deathPoints !== undefined && this.#deaths >= this.#deathPoints.length;
  }

  /** Starts the next process. Never rejects. */
  async begin(): Promise<void> {
    const world = this.#world;
    const { chronicle } = world;
    const life: Life = new Life(world, {
      number: ++this.#lives,
      deathPoint: this.#drawDeathPoint(),
      onDeath: (names) => {
        // A world that is being healed loses nobody any more.
        if (this.isOver) return false;
        this.#noteDeathAt(life, names);
        this.#die(life, 'at an operation');
        return true;
      },
    });
    world.life = life;
    this.#startUpstreams(life);
    if (this.#lives > 1) chronicle.note(`process ${this.#lives} begins`);
    try {
      const service = await life.start();
      // In the very turn in which it had started.
      if (life.isDead) return;
      observe(world, life, service);
    } catch (error) {
      if (life.isDead) return;
      const isDown = error instanceof SwitchgearError && error.code === 'store-unavailable';
      chronicle.expect(isDown, 'a process starts, or its store is down', () => String(error));
      chronicle.count('start failed');
      life.die();
      this.#end(life);
      this.#beginAfter(RETRY_MS);
      return;
    }
    this.#resumeStories();
    this.#planEnd(life);
    this.#later(RECOVERY_MS, () => {
      this.#checkRecovery(life);
    });
  }

  /** Forgets what it had in mind for the process that runs. */
  close(): void {
    this.isOver = true;
    this.#clearTimers();
  }

  /** Unless the process has ended by then. */
  #later(delayMs: number, act: () => void): void {
    this.#timers.push(this.#world.clock.setTimeout(act, delayMs));
  }

  #clearTimers(): void {
    for (const timer of this.#timers.splice(0)) this.#world.clock.clearTimeout(timer);
  }

  #drawDeathPoint(): DeathPoint | undefined {
    const { durability } = this.#world.plan;
    if (durability === undefined) return undefined;
    if (this.#deathPoints !== undefined) return this.isOver ? undefined : this.#deathPoints[this.#deaths];
    const operation = Math.round(this.#dice.logUniform(1, OPERATIONS_MAX));
    const when = this.#dice.pick(['before', 'after'] as const);
    const isDrawn = this.#dice.chance(durability.deathByOperation);
    return isDrawn && this.#mayEnd ? { operation, when } : undefined;
  }

  get #mayEnd(): boolean {
    return !this.isOver && this.#lives < LIVES_MAX && this.#world.clock.nowMs() < this.#world.untilMs;
  }

  #planEnd(life: Life): void {
    const { durability } = this.#world.plan;
    if (durability === undefined || this.#deathPoints !== undefined) return;
    const { deathEveryMs, stopEveryMs } = durability;
    if (deathEveryMs !== undefined)
      this.#later(this.#dice.exponential(deathEveryMs), () => {
        if (this.#mayEnd) this.#die(life, 'by time');
      });
    if (stopEveryMs !== undefined)
      this.#later(this.#dice.exponential(stopEveryMs), () => {
        if (this.#mayEnd) void this.#stop(life);
      });
  }

  #noteDeathAt(life: Life, names: readonly string[]): void {
    const { chronicle } = this.#world;
    if (life.service === undefined) chronicle.count('died: during recovery');
    for (const name of names) if (name === 'settle' || name === 'settleParked') chronicle.count('died: while settling');
  }

  #die(life: Life, how: string): void {
    const { chronicle, watch } = this.#world;
    if (life.isDead) return;
    chronicle.note(`process ${life.number} dies`);
    chronicle.count(`died ${how}`);
    watch?.died(life.number);
    this.#deaths += 1;
    life.die();
    this.#end(life);
    this.#beginAfter(this.#pauseMs());
  }

  /** Told to end, with some time for what is running. */
  async #stop(life: Life): Promise<void> {
    const { chronicle, watch } = this.#world;
    const graceMs = this.#dice.pick([0, 1_000, 25_000]);
    chronicle.note(`process ${life.number} is stopped with ${graceMs} ms`);
    chronicle.count('stopped');
    const isWell = () => this.#world.illness.wellSinceMs <= this.#world.clock.nowMs();
    const wasWell = isWell();
    await life.service?.stop({ graceMs });
    if (life.isDead) return;
    this.#checkGone(life);
    const left = watch?.open().filter(({ owner, isAcknowledged }) => owner === life.number && isAcknowledged) ?? [];
    chronicle.expect(left.length === 0 || !wasWell || !isWell(), 'a stop gives everything back to the store', () =>
      JSON.stringify(left),
    );
    this.#end(life);
    this.#beginAfter(this.#pauseMs());
  }

  /** A check of a provider may be under way when it ends, and nothing else. */
  #checkGone({ clock }: Life): void {
    const { chronicle } = this.#world;
    this.#world.clock.setTimeout(() => {
      const { pendingTimers } = clock;
      chronicle.expect(pendingTimers === 0, 'nothing is left of a process', () => `${pendingTimers} timers are`);
      clock.die();
    }, GONE_MS);
  }

  /** Everybody in the world hears that the process is gone. */
  #end(life: Life): void {
    const world = this.#world;
    const { watch, illness, clock, upstreams, story, callers } = world;
    const nowMs = clock.nowMs();
    const sinceMs = illness.wellSinceMs <= nowMs ? nowMs : Number.NEGATIVE_INFINITY;
    this.#clearTimers();
    world.life = undefined;
    this.#lastOffsetMs = life.wallOffsetMs;
    for (const upstream of upstreams) {
      upstream.processEnded();
      // What an actor that is down was told goes with its process.
      const isDown = life.service !== undefined && isDead(life.service, upstream.plan.name);
      upstream.side.processEnded((toldAtMs) => toldAtMs < sinceMs && !isDown);
    }
    callers.processEnded();
    const isStored = (requestId: string) => (watch?.find(requestId)?.status ?? 'ended') !== 'ended';
    for (const requestId of story.processEnded(isStored, sinceMs)) watch?.ledger.excuse(requestId);
  }

  #pauseMs(): number {
    const { pauseMs } = this.#durability;
    return this.#deathPoints === undefined ? this.#dice.between(0, pauseMs) : 0;
  }

  #beginAfter(pauseMs: number): void {
    const { clock, chronicle } = this.#world;
    clock.setTimeout(() => {
      if (this.#durability.clockMoves && !this.isOver && this.#dice.chance(0.5)) {
        chronicle.count('wall clock moved while nobody looked');
        clock.jumpWall(Math.round(this.#dice.between(-CLOCK_MOVES_MS, CLOCK_MOVES_MS)));
      }
      void this.begin();
    }, pauseMs);
  }

  /** Only where processes end there is a next one. */
  get #durability(): DurabilityPlan {
    const { durability } = this.#world.plan;
    if (durability === undefined) throw new TypeError('expected a world with a durable store');
    return durability;
  }

  /** A clock that was set forward ends waits early. */
  #startUpstreams(life: Life): void {
    if (this.#lastOffsetMs === undefined) return;
    const movedMs = life.wallOffsetMs - this.#lastOffsetMs;
    // Wall clocks tell whole milliseconds.
    const forwardMs = movedMs > 1 ? movedMs : 0;
    for (const upstream of this.#world.upstreams) upstream.side.processStarts(forwardMs);
  }

  /** What waits in the store comes back with what was tried. */
  #resumeStories(): void {
    const { watch, story } = this.#world;
    for (const { requestId, attempts } of watch?.open() ?? []) story.resume(requestId, attempts);
    for (const { requestId, status } of watch?.all() ?? []) if (status === 'ended') story.forget(requestId);
  }

  /** Promise 14: nothing that was acknowledged is forgotten. */
  #checkRecovery(life: Life): void {
    const { watch, chronicle, illness, clock, plan } = this.#world;
    const { service } = life;
    if (service === undefined || watch === undefined || illness.wellSinceMs > clock.nowMs()) return;
    const here = new Set(service.openRequests().map(({ requestId }) => requestId));
    for (const record of watch.open()) {
      if (!record.isAcknowledged) continue;
      const isFound = record.owner === 0 ? record.status === 'queued' : here.has(record.requestId);
      const isOurs = record.owner === 0 || record.owner === life.number;
      chronicle.expect(
        isFound && isOurs,
        'promise 14: everything runs or waits within two seconds of a start',
        () => `process ${life.number} has lost ${JSON.stringify(record)}`,
      );
    }
    const { waiting, parked } = service.queueStatus();
    const room = plan.traffic.queueDepthMax - waiting;
    chronicle.expect(
      parked === 0 || room < Math.ceil(plan.traffic.queueDepthMax / 4) || service.state !== 'running',
      'promise 14: what waits in the store comes in while there is room',
      () => `${parked} wait there, and there is room for ${room}`,
    );
    chronicle.count('recovered: judged');
  }
}
