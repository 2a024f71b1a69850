/**
 * The supervisor against a model of it: a list of children and what OTP's rules make of it, without time, processes or
 * anything that waits. Whatever is done to both in whatever order, they agree on who runs, in which incarnation, and on
 * whether the supervisor has given up.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { AutoShutdown, RestartType, Strategy } from '../../src/supervision/child-spec.ts';
import type { ExitReason } from '../../src/supervision/process.ts';
import { SupervisorError } from '../../src/supervision/process.ts';
import { propertyRuns } from '../support/properties.ts';
import { run } from '../support/supervised.ts';

const IDS = ['a', 'b', 'c', 'd'] as const;
const PERIOD_MS = 1_000;

interface Kind {
  readonly restart: RestartType;
  readonly significant: boolean;
}

interface Setting {
  readonly strategy: Strategy;
  readonly autoShutdown: AutoShutdown;
  readonly restartsMax: number;
  readonly kinds: readonly Kind[];
}

type Step =
  | { readonly do: 'exit'; readonly id: string; readonly reason: ExitReason; readonly failures: number }
  | { readonly do: 'terminate' | 'restart' | 'delete' | 'add'; readonly id: string }
  | { readonly do: 'wait'; readonly ms: number };

interface ModelChild {
  readonly id: string;
  readonly kind: Kind;
  runs: boolean;
  incarnation: number;
}

/** What the rules of OTP make of a list of children. */
class Model {
  readonly #setting: Setting;
  children: ModelChild[] = [];
  readonly incarnations = new Map<string, number>();
  /** How many of its next starts fail. */
  readonly failures = new Map<string, number>();
  hasEnded = false;
  nowMs = 0;
  #restartsAtMs: number[] = [];

  constructor(setting: Setting) {
    this.#setting = setting;
    for (const [index, kind] of setting.kinds.entries()) this.add(IDS[index] ?? '', kind);
  }

  find(id: string): ModelChild | undefined {
    return this.children.find((child) => child.id === id);
  }

  add(id: string, kind: Kind): void {
    const child: ModelChild = { id, kind, runs: false, incarnation: 0 };
    this.children.push(child);
    this.start(child);
  }

  start(child: ModelChild): boolean {
    child.incarnation = (this.incarnations.get(child.id) ?? 0) + 1;
    this.incarnations.set(child.id, child.incarnation);
    const failures = this.failures.get(child.id) ?? 0;
    this.failures.set(child.id, Math.max(0, failures - 1));
    child.runs = failures === 0;
    return child.runs;
  }

  stop(child: ModelChild): void {
    child.runs = false;
    if (child.kind.restart !== 'temporary') return;
    this.children = this.children.filter((each) => each !== child);
    this.incarnations.delete(child.id);
  }

  exit(child: ModelChild, reason: ExitReason): void {
    child.runs = false;
    const { restart, significant } = child.kind;
    const isOrderly = reason.kind === 'normal' || reason.kind === 'shutdown';
    if (restart === 'permanent' || (restart === 'transient' && !isOrderly)) {
      this.#restart(child);
      return;
    }
    this.stop(child);
    const { autoShutdown } = this.#setting;
    const isLast = !this.children.some((other) => other.kind.significant && other.runs);
    if (significant && (autoShutdown === 'any-significant' || (autoShutdown === 'all-significant' && isLast)))
      this.#end();
  }

  #restart(child: ModelChild): void {
    this.#restartsAtMs = [...this.#restartsAtMs.filter((atMs) => this.nowMs - atMs <= PERIOD_MS), this.nowMs];
    if (this.#restartsAtMs.length > this.#setting.restartsMax) {
      this.#end();
      return;
    }
    for (const other of this.#with(child)) if (other !== child) this.stop(other);
    for (const next of this.#with(child)) {
      if (this.start(next)) continue;
      this.#restart(next);
      return;
    }
  }

  #with(child: ModelChild): readonly ModelChild[] {
    const { strategy } = this.#setting;
    if (strategy === 'one-for-one') return [child];
    return strategy === 'one-for-all' ? [...this.children] : this.children.slice(this.children.indexOf(child));
  }

  #end(): void {
    this.hasEnded = true;
  }
}

const settings: fc.Arbitrary<Setting> = fc
  .record({
    strategy: fc.constantFrom<Strategy>('one-for-one', 'one-for-all', 'rest-for-one'),
    autoShutdown: fc.constantFrom<AutoShutdown>('never', 'any-significant', 'all-significant'),
    restartsMax: fc.integer({ min: 0, max: 6 }),
    kinds: fc.array(
      fc.record({
        restart: fc.constantFrom<RestartType>('permanent', 'transient', 'temporary'),
        significant: fc.boolean(),
      }),
      { maxLength: IDS.length },
    ),
  })
  .map((setting) => ({
    ...setting,
    kinds: setting.kinds.map(({ restart, significant }) => ({
      restart,
      significant: significant && restart !== 'permanent' && setting.autoShutdown !== 'never',
    })),
  }));

const ids = fc.constantFrom(...IDS);
const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('exit' as const),
      id: ids,
      reason: fc.constantFrom<ExitReason>(
        { kind: 'error', error: new Error('broke') },
        { kind: 'killed' },
        { kind: 'normal' },
        { kind: 'shutdown' },
      ),
      failures: fc.constantFrom(0, 0, 0, 1, 2),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('terminate', 'restart', 'delete', 'add'), id: ids }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1, 500, 1_500) }) },
);

test('a supervisor does what the rules of OTP make of a list of children', async () => {
  await fc.assert(
    fc.asyncProperty(settings, fc.array(steps, { maxLength: 25 }), async (setting, script) => {
      const { strategy, autoShutdown, restartsMax, kinds } = setting;
      const model = new Model(setting);
      const { factory, clock, supervisor, exits } = await run(
        (made) => kinds.map((kind, index) => made.spec(IDS[index] ?? '', kind)),
        { strategy, autoShutdown, intensity: { restartsMax, periodMs: PERIOD_MS } },
      );
      for (const id of IDS)
        factory.beforeStart.set(id, () => {
          if ((failing.get(id) ?? 0) === 0) return;
          failing.set(id, (failing.get(id) ?? 0) - 1);
          throw new Error('cannot start');
        });
      const failing = new Map<string, number>();
      for (const step of script) {
        if (model.hasEnded) break;
        const child = step.do === 'wait' ? undefined : model.find(step.id);
        const codeOf = async (asked: Promise<unknown>) =>
          asked.then(
            () => 'ok',
            (error: unknown) => (error instanceof SupervisorError ? error.code : error),
          );
        switch (step.do) {
          case 'wait':
            model.nowMs += step.ms;
            await clock.advance(step.ms);
            break;
          case 'exit':
            if (child?.runs !== true) break;
            model.failures.set(step.id, step.failures);
            failing.set(step.id, step.failures);
            factory.the(step.id).exit(step.reason);
            model.exit(child, step.reason);
            break;
          case 'terminate':
            expect(await codeOf(supervisor.terminateChild(step.id))).toBe(child === undefined ? 'not-found' : 'ok');
            if (child !== undefined) model.stop(child);
            break;
          case 'restart': {
            const expected = child === undefined ? 'not-found' : child.runs ? 'running' : 'ok';
            if (expected === 'ok' && child !== undefined) expect(model.start(child)).toBe(true);
            expect(await codeOf(supervisor.restartChild(step.id))).toBe(expected);
            break;
          }
          case 'delete':
            expect(await codeOf(supervisor.deleteChild(step.id))).toBe(
              child === undefined ? 'not-found' : child.runs ? 'running' : 'ok',
            );
            if (child?.runs === false) model.children = model.children.filter((each) => each !== child);
            break;
          case 'add': {
            const kind: Kind = { restart: 'permanent', significant: false };
            const expected = child === undefined ? 'ok' : child.runs ? 'already-started' : 'already-present';
            if (child === undefined) model.add(step.id, kind);
            expect(await codeOf(supervisor.startChild(factory.spec(step.id, kind)))).toBe(expected);
            break;
          }
        }
        // Restarts are in the next turns of the event loop; time stands still meanwhile.
        await clock.advance(0);
        await clock.settle();
        failing.clear();
        model.failures.clear();
        expect(exits.length > 0).toBe(model.hasEnded);
        if (model.hasEnded) break;
        expect(
          supervisor.children().map(({ id, incarnation }) => [id, supervisor.processOf(id) !== undefined, incarnation]),
        ).toEqual(model.children.map(({ id, runs, incarnation }) => [id, runs, incarnation]));
      }
      expect(factory.aliveCount).toBe(model.hasEnded ? 0 : model.children.filter(({ runs }) => runs).length);
      await supervisor.stop();
      expect([factory.aliveCount, clock.pendingTimers]).toEqual([0, 0]);
    }),
    propertyRuns(300),
  );
});
