/** Many children of one kind. Numbers are those of the semantics checklist of supervision. */
import { describe, expect, test } from 'vitest';
import { Pool, type PoolOptions } from '../../src/supervision/pool.ts';
import type { ExitReason, Process } from '../../src/supervision/process.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { heapUsed } from '../support/heap.ts';
import { ScriptedProcess } from '../support/scripted-process.ts';

interface Scene {
  readonly clock: VirtualClock;
  readonly pool: Pool<string>;
  readonly started: ScriptedProcess[];
  readonly exits: ExitReason[];
  /** Says what the next starts of `args` come to. */
  readonly plan: Map<string, ('ignore' | 'fail' | Promise<void>)[]>;
  readonly named: (args: string) => ScriptedProcess;
}

function build(
  options: Partial<PoolOptions<string>> = {},
  template: Partial<PoolOptions<string>['template']> = {},
): Scene {
  const clock = new VirtualClock();
  const started: ScriptedProcess[] = [];
  const plan: Scene['plan'] = new Map();
  const pool = new Pool<string>({
    id: 'pool',
    clock,
    backoff: 'none',
    intensity: { restartsMax: 3, periodMs: 5_000 },
    template: {
      start: async (args, { incarnation }) => {
        const next = plan.get(args)?.shift();
        if (next === 'ignore') return 'ignore';
        if (next === 'fail') throw new Error(`${args} cannot start`);
        await next;
        const process = new ScriptedProcess(args, incarnation);
        started.push(process);
        return process;
      },
      ...template,
    },
    ...options,
  });
  const exits: ExitReason[] = [];
  pool.onExit((reason) => exits.push(reason));
  const named = (args: string) => {
    const [process, ...others] = started.filter((each) => each.id === args && each.isAlive);
    if (process === undefined || others.length > 0) throw new TypeError(`expected one living ${args}`);
    return process;
  };
  return { clock, pool, started, exits, plan, named };
}

const listed = (pool: Pool<string>) =>
  pool.children().map(({ id, state, incarnation }) => `${id} ${state} ${incarnation}`);

describe('a pool', () => {
  test('actors 7: has one template, and none or several are refused', () => {
    const clock = new VirtualClock();
    for (const template of [undefined, [], [{ start: () => 'ignore' }, { start: () => 'ignore' }], {}])
      // What plain JavaScript may hand in.
      expect(() => new Pool({ id: 'pool', clock, template: template as never })).toThrow(
        expect.objectContaining({ code: 'invalid-spec' }),
      );
  });

  test('actors 19: a crash restarts that instance alone, with its own arguments', async () => {
    const { clock, pool, named } = build();
    for (const args of ['a', 'b', 'c']) await pool.startChild(args);
    named('b').crash();
    await clock.advance(1);
    expect(listed(pool)).toEqual(['a running 1', 'b running 2', 'c running 1']);
    expect(named('b').incarnation).toBe(2);
  });

  test('actors 19: an instance that is ignored when it is started again is forgotten', async () => {
    const { clock, pool, plan, named } = build();
    await pool.startChild('a');
    plan.set('a', ['ignore']);
    named('a').crash();
    await clock.advance(1);
    expect([pool.countChildren(), pool.children()]).toEqual([{ specs: 0, active: 0, supervisors: 0, workers: 0 }, []]);
  });

  test('actors 3: one that is ignored at once is not kept', async () => {
    const { pool, plan } = build();
    plan.set('a', ['ignore']);
    expect(await pool.startChild('a')).toBeUndefined();
    expect(pool.children()).toEqual([]);
  });

  test('a child that cannot start is not kept, and whoever asked for it hears why', async () => {
    const { pool, plan } = build();
    plan.set('a', ['fail']);
    await expect(pool.startChild('a')).rejects.toMatchObject({
      code: 'failed-to-start',
      cause: new Error('a cannot start'),
    });
    expect(pool.children()).toEqual([]);
  });

  test.each<[ExitReason, 'transient' | 'temporary', boolean]>([
    [{ kind: 'normal' }, 'transient', false],
    [{ kind: 'shutdown', detail: 'done' }, 'transient', false],
    [{ kind: 'killed' }, 'transient', true],
    [{ kind: 'error', error: new Error('broke') }, 'temporary', false],
  ])(
    'actors 11, 12: after %o a %s child is restarted: %s; else it is forgotten',
    async (reason, restart, isRestarted) => {
      const { clock, pool, named } = build({}, { restart });
      await pool.startChild('a');
      named('a').exit(reason);
      await clock.advance(1);
      expect(listed(pool)).toEqual(isRestarted ? ['a running 2'] : []);
    },
  );

  test('actors 20: crashes of all instances count together, and one too many ends all of them', async () => {
    const { clock, pool, started, named, exits } = build();
    for (const args of ['a', 'b', 'c', 'd']) await pool.startChild(args);
    for (const args of ['a', 'b', 'c']) named(args).crash();
    await clock.advance(1);
    expect(exits).toEqual([]);
    named('d').crash();
    await clock.advance(1);
    expect(exits).toEqual([{ kind: 'shutdown' }]);
    expect(started.filter(({ isAlive }) => isAlive)).toEqual([]);
  });

  test('actors 22, 27: an instance that cannot start again is tried until the pool gives up; meanwhile others are started', async () => {
    const { clock, pool, plan, named, exits } = build({ backoff: { baseMs: 100, capMs: 100, healthyMs: 60_000 } });
    await pool.startChild('a');
    plan.set('a', ['fail', 'fail', 'fail', 'fail']);
    named('a').crash();
    await clock.advance(60);
    await pool.startChild('b');
    expect(pool.countChildren()).toMatchObject({ specs: 2, active: 1 });
    expect(listed(pool)[0]).toMatch(/^a restarting/);
    await clock.advance(1_000);
    expect(exits).toEqual([{ kind: 'shutdown' }]);
  });

  test('actors 27: an instance in its retry loop is ended by the process that it was', async () => {
    const { clock, pool, plan, named } = build({ backoff: { baseMs: 100, capMs: 100, healthyMs: 60_000 } });
    await pool.startChild('a');
    const former = named('a');
    plan.set('a', ['fail', 'fail']);
    former.crash();
    await clock.advance(60);
    await pool.terminateChild(former);
    await clock.advance(60_000);
    expect([pool.children(), clock.pendingTimers]).toEqual([[], 0]);
  });

  test('actors 33: all stop at the same time, within one limit', async () => {
    const { clock, pool, started, exits } = build({}, { shutdown: 1_000 });
    for (const args of ['a', 'b', 'c', 'd']) await pool.startChild(args);
    for (const process of started) process.onStop = () => new Promise(() => {});
    void pool.stop();
    await clock.advance(999);
    expect(started.every(({ isStopped }) => isStopped)).toBe(true);
    expect(exits).toEqual([]);
    await clock.advance(1);
    expect(exits).toEqual([{ kind: 'shutdown' }]);
    expect(started.filter(({ isAlive }) => isAlive)).toEqual([]);
  });

  test('actors 44: a child is stopped and forgotten; one that is nobody is not found', async () => {
    const { pool, named, started } = build();
    await pool.startChild('a');
    const process: Process = named('a');
    await pool.terminateChild(process);
    await pool.terminateChild(process);
    const stranger = new ScriptedProcess('stranger', 1);
    await expect(pool.terminateChild(stranger)).rejects.toMatchObject({ code: 'not-found' });
    expect([pool.children(), started.filter(({ isAlive }) => isAlive)]).toEqual([[], []]);
  });

  test('actors 48: one child more than the maximum is refused, and nothing is started', async () => {
    const { pool, started, named } = build({ maxChildren: 2 });
    await pool.startChild('a');
    await pool.startChild('b');
    await expect(pool.startChild('c')).rejects.toMatchObject({ code: 'max-children' });
    expect(started).toHaveLength(2);
    await pool.terminateChild(named('a'));
    await pool.startChild('c');
    expect(pool.countChildren().active).toBe(2);
  });

  test('a start that hangs is given up when the pool stops, and what comes of it later is ended', async () => {
    const { clock, pool, plan, started } = build();
    const slow = Promise.withResolvers<void>();
    plan.set('a', [slow.promise]);
    const starting = pool.startChild('a').catch((error: unknown) => error);
    await clock.settle();
    await pool.stop();
    expect(await starting).toMatchObject({ code: 'failed-to-start', cause: { code: 'stopped' } });
    slow.resolve();
    await clock.settle();
    expect(started.map(({ isAlive }) => isAlive)).toEqual([false]);
    await expect(pool.startChild('b')).rejects.toMatchObject({ code: 'stopped' });
  });

  test('a pool that is killed ends every child at once, without its cleanup', async () => {
    const { pool, started, exits } = build();
    for (const args of ['a', 'b']) await pool.startChild(args);
    pool.kill();
    expect(started.map(({ isAlive, isStopped }) => [isAlive, isStopped])).toEqual([
      [false, false],
      [false, false],
    ]);
    expect(exits).toEqual([{ kind: 'killed' }]);
    await pool.stop();
    expect(exits).toHaveLength(1);
  });
});

describe('ten thousand children', () => {
  test('actors 47: come and go, and nothing of them is left', async () => {
    const { pool, started } = build({}, { restart: 'temporary' });
    for (let index = 0; index < 10_000; index += 1) await pool.startChild(`child ${index}`);
    expect(pool.countChildren()).toEqual({ specs: 10_000, active: 10_000, supervisors: 0, workers: 10_000 });
    for (const process of started) process.exit({ kind: 'normal' });
    expect([pool.countChildren().specs, pool.children()]).toEqual([0, []]);
  });

  test('actors 47: the arguments of temporary children are forgotten once they run, those of others are kept', async () => {
    const held = async (restart: 'temporary' | 'transient') => {
      const pool = new Pool<{ readonly large: string }>({
        id: 'pool',
        clock: new VirtualClock(),
        template: { restart, start: ({ large }) => new ScriptedProcess(large, 1) },
      });
      const args = await (async () => {
        const given = { large: 'text' };
        await pool.startChild(given);
        return new WeakRef(given);
      })();
      // A WeakRef is held until the turn in which it was made is over.
      await new Promise(setImmediate);
      // It collects what nobody holds any more.
      heapUsed();
      return args.deref() !== undefined && pool.countChildren().active === 1;
    };
    expect([await held('temporary'), await held('transient')]).toEqual([false, true]);
  });
});
