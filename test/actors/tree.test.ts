/** Numbers such as `actors 15` are those of the semantics checklist of supervision. */
import { afterEach, describe, expect, test, vi } from 'vitest';

import { Actor } from '../../src/supervision/actor.ts';
import { CostControl } from '../../src/actors/cost-tracker.ts';
import { HealthControl } from '../../src/actors/health-monitor.ts';
import type { ExitReason } from '../../src/supervision/process.ts';
import { ProviderControl } from '../../src/actors/provider-control.ts';
import { Registry } from '../../src/supervision/registry.ts';
import { ServiceControl } from '../../src/actors/service.ts';
import { Tree } from '../../src/actors/tree.ts';
import type { ChildState } from '../../src/contract/state.ts';
import { MemoryLedger } from '../../src/stores/memory-ledger.ts';
import type { LedgerEntry } from '../../src/contract/records.ts';
import type { RouteQuestion } from '../../src/policy/route.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { createProviderConfig } from '../support/adapter-calls.ts';
import { type Announced, reportOf } from '../support/provider-rig.ts';

class Rig {
  readonly clock = new VirtualClock();
  readonly registry = new Registry();
  readonly announced: Announced[] = [];
  readonly exits: ExitReason[] = [];
  readonly providers = new Map<string, ProviderControl>();
  readonly costs: CostControl;
  readonly health: HealthControl;
  readonly service: ServiceControl;
  readonly tree: Tree;
  /** Throws inside an actor before the event. */
  beforeEvent: (actorId: string, type: string) => void = () => {};

  constructor() {
    const { clock, registry } = this;
    const shared = {
      clock,
      registry,
      announce: (name: Announced['name'], payload: Announced['payload']) => {
        this.announced.push({ name, payload });
      },
      beforeEvent: (actorId: string, { type }: { readonly type: string }) => {
        this.beforeEvent(actorId, type);
      },
    };
    this.costs = new CostControl({ ...shared, ledger: new MemoryLedger() });
    this.health = new HealthControl({
      ...shared,
      providers: () =>
        [...this.providers.values()].map((control) => ({
          name: control.name,
          intervalMs: 30_000,
          state: () => control.state(),
        })),
      check: async (provider) => ({ provider, verdict: 'passed' }),
    });
    this.service = new ServiceControl(shared);
    this.tree = new Tree({ ...shared, costs: this.costs, health: this.health, service: this.service });
    this.tree.onExit((reason) => this.exits.push(reason));
    for (const name of ['first', 'second']) {
      this.providers.set(
        name,
        new ProviderControl({ ...shared, config: createProviderConfig({ name, adapter: 'openai' }) }),
      );
    }
  }

  async start(): Promise<this> {
    await this.tree.start();
    for (const control of this.providers.values()) await this.tree.addProvider(control);
    return this;
  }

  crash(actorId: string): void {
    const process = this.registry.find(actorId);
    if (!(process instanceof Actor)) throw new TypeError(`expected ${actorId} to live`);
    process.crash(new Error('crashed by the test'));
  }

  /** Crashes a provider's actor again and again, each time as soon as it lives. */
  async crashLoop(name: string, times: number): Promise<void> {
    for (let count = 0; count < times; count += 1) {
      this.crash(`provider/${name}`);
      await this.clock.advance(1_000);
    }
  }

  node(id: string): ChildState {
    const all = this.tree.children().flatMap((child) => [child, ...(child.children ?? [])]);
    return all.find((child) => child.id === id)!;
  }

  admits(name: string): string {
    return this.providers.get(name)!.admission('model-1').kind;
  }

  payloads(name: Announced['name']) {
    return this.announced.filter((event) => event.name === name).map(({ payload }) => payload);
  }
}

afterEach(() => {
  vi.restoreAllMocks();
});

const ENTRY: LedgerEntry = {
  at: 0,
  requestId: 'req_1',
  attempt: 0,
  provider: 'first',
  model: 'm',
  tenant: 'default',
  tags: {},
  outcome: 'answered',
  usage: {},
  costNanos: 1,
  isEstimate: false,
};

const calm = new AbortController().signal;
const ask = (): RouteQuestion => ({
  model: 'smart',
  ranked: [],
  canWaitForRecovery: false,
  remainingMs: 1_000,
  wireFieldNames: [],
});

describe('the tree', () => {
  test('has one node per actor, in the order they were started', async () => {
    const { tree } = await new Rig().start();
    expect(tree.children()).toMatchObject([
      { id: 'cost-tracker', state: 'running', restarts: 0, incarnation: 1 },
      {
        id: 'providers',
        state: 'running',
        children: [
          { id: 'first', state: 'running', restarts: 0, incarnation: 1 },
          { id: 'second', state: 'running', restarts: 0, incarnation: 1 },
        ],
      },
      { id: 'health-monitor', state: 'running', restarts: 0, incarnation: 1 },
      { id: 'service', state: 'running', restarts: 0, incarnation: 1 },
    ]);
  });

  test.each(['provider/first', 'cost-tracker', 'health-monitor', 'service'])(
    'actors 15: a crash of %s restarts it alone, and is told',
    async (actorId) => {
      const rig = await new Rig().start();
      const id = actorId.replace('provider/', '');
      rig.crash(actorId);
      expect(rig.node(id).state).toBe('restarting');
      await rig.clock.advance(1_000);
      expect(rig.node(id)).toMatchObject({ state: 'running', restarts: 1, incarnation: 2 });
      const others = ['cost-tracker', 'first', 'second', 'health-monitor', 'service'].filter((other) => other !== id);
      expect(others.map((other) => rig.node(other).incarnation)).toEqual([1, 1, 1, 1]);
      expect(rig.payloads('actor.crashed')).toEqual([
        { actor: id, incarnation: 1, message: expect.stringMatching(/^Error: crashed by the test; in ["{]/u) },
      ]);
      expect(rig.payloads('actor.restarted')).toEqual([{ actor: id, incarnation: 2, restarts: 1 }]);
    },
  );

  test('a provider may crash five times in a minute; with the sixth it is given up, the others go on', async () => {
    const rig = await new Rig().start();
    await rig.crashLoop('first', 5);
    expect(rig.node('first')).toMatchObject({ state: 'running', restarts: 5 });
    await rig.crashLoop('first', 1);
    expect(rig.node('first')).toMatchObject({ state: 'down', restarts: 5, incarnation: 6 });
    expect([rig.admits('first'), rig.admits('second')]).toEqual(['never', 'ready']);
    expect(rig.payloads('provider.gaveUp')).toEqual([{ provider: 'first', restarts: 5 }]);
    await rig.clock.advance(3_600_000);
    expect(rig.node('first').state).toBe('down');
    expect(rig.exits).toEqual([]);
  });

  test('every provider may be given up without ending the service', async () => {
    const rig = await new Rig().start();
    await rig.crashLoop('first', 6);
    await rig.crashLoop('second', 6);
    expect([rig.admits('first'), rig.admits('second'), rig.node('service').state]).toEqual([
      'never',
      'never',
      'running',
    ]);
    expect(rig.exits).toEqual([]);
  });

  test('a provider that was given up is revived on request, with its breaker as it was and its keys tried again', async () => {
    const rig = await new Rig().start();
    const control = rig.providers.get('first')!;
    const claimed = control.claim({
      model: 'model-1',
      limitMs: 1_000,
      isForced: false,
      avoid: new Set(),
      pace: { tokens: 0 },
    });
    if (claimed.kind !== 'claimed') throw new Error('expected a permit');
    control.report(claimed.permit, reportOf('quota-exhausted'));
    await rig.crashLoop('first', 6);
    await rig.tree.restart('first');
    expect(rig.node('first')).toMatchObject({ state: 'running', incarnation: 7 });
    expect(rig.admits('first')).toBe('ready');
    expect(rig.payloads('provider.revived')).toEqual([{ provider: 'first' }]);
    await rig.crashLoop('first', 5);
    expect(rig.node('first').state).toBe('running');
  });

  test('actors 20: a root that gives up ends everything and says so', async () => {
    const rig = await new Rig().start();
    for (let count = 0; count < 4; count += 1) {
      rig.crash('service');
      await rig.clock.advance(500);
    }
    expect(rig.exits).toEqual([{ kind: 'shutdown' }]);
    expect(
      ['cost-tracker', 'provider/first', 'provider/second', 'health-monitor', 'service'].map((id) =>
        rig.registry.find(id),
      ),
    ).toEqual(Array.from({ length: 5 }, () => undefined));
    expect(rig.clock.pendingTimers).toBe(0);
  });

  test('actors 69: stopping frees every name and every timer, also in the middle of restarts, probes and gates', async () => {
    const rig = await new Rig().start();
    const control = rig.providers.get('first')!;
    for (let count = 0; count < 5; count += 1) control.checkFailed('connect refused');
    rig.crash('provider/second');
    rig.crash('cost-tracker');
    await rig.tree.stop();
    await rig.tree.stop();
    expect([rig.clock.pendingTimers, rig.exits.length]).toEqual([0, 1]);
    expect(rig.registry.find('provider/first')).toBeUndefined();
  });

  test('a provider that is removed is gone, also while it waits for its restart, and may come back', async () => {
    const rig = await new Rig().start();
    rig.crash('provider/first');
    await rig.tree.removeProvider('first');
    await rig.clock.advance(60_000);
    expect(rig.registry.find('provider/first')).toBeUndefined();
    await rig.tree.addProvider(rig.providers.get('first')!);
    expect(rig.node('first')).toMatchObject({ state: 'running', incarnation: 1 });
  });
});

describe('operators', () => {
  test('an id nobody has is not found, with the ids there are', async () => {
    const rig = await new Rig().start();
    for (const act of [
      () => {
        rig.tree.suspend('nobody');
      },
      () => {
        rig.tree.resume('nobody');
      },
    ]) {
      expect(act).toThrow(
        expect.objectContaining({
          code: 'not-found',
          message: expect.stringContaining('cost-tracker, health-monitor, service, first, second'),
        }),
      );
    }
    await expect(rig.tree.restart('nobody')).rejects.toMatchObject({ code: 'not-found' });
    await expect(rig.tree.restart('providers')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('actors 51: an actor that is just restarting cannot be suspended: noproc', async () => {
    const rig = await new Rig().start();
    rig.crash('service');
    expect(() => {
      rig.tree.suspend('service');
    }).toThrow(expect.objectContaining({ code: 'noproc' }));
  });

  test('actors 64: a suspended provider admits nobody and is shown so; resumed it has heard everything', async () => {
    const rig = await new Rig().start();
    const control = rig.providers.get('first')!;
    const changed = vi.fn<() => void>();
    control.onChange(changed);
    rig.tree.suspend('first');
    expect([rig.node('first').state, rig.admits('first'), rig.admits('second')]).toEqual([
      'suspended',
      'wait',
      'ready',
    ]);
    for (let count = 0; count < 5; count += 1) control.checkFailed('connect refused');
    expect(control.state().breaker.state).toBe('closed');
    rig.tree.resume('first');
    expect([rig.node('first').state, control.state().breaker.state]).toEqual(['running', 'open']);
    await rig.clock.settle();
    expect(changed).toHaveBeenCalled();
  });

  test('more than the mailbox of a suspended actor holds is delivered when it resumes', async () => {
    const rig = await new Rig().start();
    rig.tree.suspend('cost-tracker');
    for (let attempt = 0; attempt < 12_000; attempt += 1) rig.costs.record({ ...ENTRY, attempt });
    rig.tree.resume('cost-tracker');
    expect(await rig.clock.waitFor(rig.costs.summary({}))).toMatchObject({ recordCount: 12_000 });
  });

  test.each(['first', 'cost-tracker', 'health-monitor', 'service'])(
    'a restart of %s on request is a new incarnation, not suspended any more, and counts against nothing',
    async (id) => {
      const rig = await new Rig().start();
      rig.tree.suspend(id);
      for (let count = 0; count < 10; count += 1) await rig.tree.restart(id);
      expect(rig.node(id)).toMatchObject({ state: 'running', restarts: 10, incarnation: 11 });
      expect(rig.exits).toEqual([]);
    },
  );

  test('restarts on request that come all at once leave one actor of that name', async () => {
    const rig = await new Rig().start();
    await Promise.all(Array.from({ length: 10 }, () => rig.tree.restart('first')));
    expect(rig.node('first')).toMatchObject({ state: 'running', incarnation: 11 });
    rig.providers.get('first')!.checkFailed('once');
    expect(rig.providers.get('first')!.state().breaker.failureCount).toBe(1);
  });
});

describe('exceptions anywhere', () => {
  /** A little of everything that happens to a service, one second at a time. */
  const live = async (rig: Rig): Promise<void> => {
    for (let second = 0; second < 12; second += 1) {
      for (const control of rig.providers.values()) {
        const claimed = control.claim({
          model: 'model-1',
          limitMs: 1_000,
          isForced: false,
          avoid: new Set(),
          pace: { tokens: 0 },
        });
        if (claimed.kind === 'claimed')
          control.report(claimed.permit, reportOf(second % 3 === 0 ? 'upstream-error' : 'success'));
      }
      void rig.service.route(ask, calm).catch(() => undefined);
      rig.costs.record({ ...ENTRY, attempt: second });
      rig.health.observe({ provider: 'first', isSuccess: true, latencyMs: 1 });
      await rig.clock.advance(1_000);
    }
  };

  test('an exception at the n-th event, for every n, crashes one actor once: nothing is lost and no process ends', async () => {
    const timeouts = vi.spyOn(globalThis, 'setTimeout');
    for (let nth = 1; ; nth += 1) {
      const rig = new Rig();
      let events = 0;
      rig.beforeEvent = (_actorId, type) => {
        if (type !== 'xstate.init' && ++events === nth) throw new Error(`injected at ${nth}`);
      };
      await rig.start();
      await live(rig);
      rig.beforeEvent = () => {};
      await rig.clock.advance(5_500);
      if (events < nth) {
        expect(nth).toBeGreaterThan(80);
        break;
      }
      const actors = ['cost-tracker', 'first', 'second', 'health-monitor', 'service'].map((id) => rig.node(id));
      expect(actors.map(({ state }) => state)).toEqual(Array.from({ length: 5 }, () => 'running'));
      expect(actors.reduce((sum, { restarts }) => sum + restarts, 0)).toBe(1);
      expect(rig.exits).toEqual([]);
      expect((await rig.costs.summary({})).recordCount).toBe(12);
      for (const control of rig.providers.values()) expect(control.state().concurrency.inFlight).toBe(0);
      await rig.tree.stop();
      expect(rig.clock.pendingTimers).toBe(0);
    }
    // XState rethrows what nobody observed in a `setTimeout`, which would end the process.
    expect(timeouts).not.toHaveBeenCalled();
  });
});
