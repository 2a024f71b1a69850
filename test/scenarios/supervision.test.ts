import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { propertyRuns } from '../support/properties.ts';
import { echo, fail, hang, when } from '../support/scripted-provider.ts';
import { type StrayErrors, watchStrayErrors } from '../support/stray-errors.ts';
import {
  ANSWER_NANOS,
  ask,
  createTestRuntime,
  HELLO,
  NOTHING_LEFT,
  rejection,
  PRICED,
  type TestRuntime,
} from '../support/test-runtime.ts';
import { sendTraffic } from '../support/traffic.ts';

const TWO = {
  providers: { a: { models: PRICED, concurrency: 8 }, b: { models: PRICED, concurrency: 8 } },
  models: { ab: ['a/m', 'b/m'], ba: ['b/m', 'a/m'] },
};
const ACTORS = ['service', 'cost-tracker', 'health-monitor', 'a', 'b'];
/** Every second of them in the ordinary run, the first among them. */
const POINTS = [1, 2, 3, 4, 5, 7, 10, 14, 20, 29, 41, 57, 80, 111, 150, 200].filter(
  (_, index) => index % 2 === 0 || propertyRuns(1).numRuns > 1,
);

let stray: StrayErrors;
beforeEach(() => {
  stray = watchStrayErrors();
});
afterEach(() => stray.finish());

const isActor = (actor: string, id: string) => actor === id || actor === `provider/${id}`;

/** Crashes an actor when it gets its `nth` event. */
function crashAt(runtime: TestRuntime, id: string, nth: number): void {
  let seen = 0;
  runtime.inject((actor) => isActor(actor, id) && ++seen === nth);
}

/** What has to hold after traffic, whatever happened meanwhile. */
async function expectAllRight(runtime: TestRuntime, ended: Awaited<ReturnType<typeof sendTraffic>>): Promise<void> {
  for (const { prompt, response, read } of ended) {
    expect(read).toBe(`${response.provider}: ${prompt}`);
    expect(response.text).toBe(read);
  }
  const settled = runtime.eventsOf('request.settled').map((event) => event.requestId);
  expect(settled).toHaveLength(ended.length);
  expect(new Set(settled).size).toBe(ended.length);
  expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  const { totalCost, recordCount, costByProvider } = await runtime.run(runtime.service.costSummary());
  expect({ nanos: totalCost.usdNanos, recordCount }).toEqual({
    nanos: ended.length * ANSWER_NANOS,
    recordCount: ended.length,
  });
  const byA = ended.filter(({ response }) => response.provider === 'a').length;
  expect(costByProvider['a']?.usdNanos).toBe(byA * ANSWER_NANOS);
}

describe.each(ACTORS)('when %s crashes under traffic', (id) => {
  test.each(POINTS)(
    'at its event number %i, every request settles once and right and no sibling notices',
    async (nth) => {
      await using runtime = await createTestRuntime({ ...TWO, seed: nth });
      for (const name of ['a', 'b'])
        runtime.provider(name).always = when(({ number }) =>
          number % 9 === 0 ? fail('upstream-error') : echo(50 + (number % 5) * 30),
        );
      crashAt(runtime, id, nth);
      const ended = await runtime.run(sendTraffic(runtime, 240, 10, ['ab', 'ba']));
      await runtime.clock.advance(1_000);
      await expectAllRight(runtime, ended);
      const actors = runtime.actors();
      expect(Object.fromEntries(ACTORS.map((actor) => [actor, actors[actor]?.incarnation]))).toEqual(
        Object.fromEntries(ACTORS.map((actor) => [actor, actor === id ? 2 : 1])),
      );
      expect(ACTORS.map((actor) => actors[actor]?.state)).toEqual(ACTORS.map(() => 'running'));
      expect(runtime.eventsOf('actor.crashed')).toHaveLength(1);
      expect(runtime.eventsOf('actor.restarted')).toMatchObject([{ incarnation: 2, restarts: 1 }]);
    },
  );
});

describe('when all of them crash, again and again', () => {
  test('traffic goes on', async () => {
    await using runtime = await createTestRuntime(TWO);
    for (const name of ['a', 'b']) runtime.provider(name).always = echo(40);
    const seen = new Map<string, number>();
    runtime.inject((actor) => {
      const count = (seen.get(actor) ?? 0) + 1;
      seen.set(actor, count);
      return count % 250 === 249;
    });
    const ended = await runtime.run(sendTraffic(runtime, 400, 80, ['ab', 'ba']));
    runtime.inject(() => false);
    await runtime.clock.advance(5_000);
    await expectAllRight(runtime, ended);
    expect(runtime.eventsOf('actor.crashed').length).toBeGreaterThan(3);
    expect(runtime.service.state).toBe('running');
  });
});

describe('when the service actor is killed', () => {
  test('callers that wait are answered, sync and async, queued and running', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 2 } } });
    const { service, clock } = runtime;
    runtime.provider('a').always = echo(1_000);
    const sync = Array.from({ length: 6 }, (_, index) => service.completion(ask(`s${index}`)));
    const ids = await Promise.all(Array.from({ length: 6 }, (_, index) => service.completionAsync(ask(`a${index}`))));
    const waiting = ids.map((requestId) => service.getResult(requestId, { waitMs: 60_000 }));
    await clock.advance(500);
    await runtime.run(service.supervisor.restart('service'));
    expect((await runtime.run(Promise.all(sync))).map((response) => response.text)).toEqual(
      sync.map((_, index) => `a: s${index}`),
    );
    expect((await runtime.run(Promise.all(waiting))).map((result) => result.status)).toEqual(
      ids.map(() => 'succeeded'),
    );
    expect(runtime.actors()['service']?.incarnation).toBe(2);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('what is submitted while it restarts is answered by the next incarnation', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    crashAt(runtime, 'service', 1);
    const first = runtime.service.completion(ask('first'));
    await runtime.clock.settle();
    expect(runtime.actors()['service']?.state).toBe('restarting');
    const second = runtime.service.completion(ask('second'));
    expect((await runtime.run(Promise.all([first, second]))).map((response) => response.text)).toEqual([
      'fine',
      'fine',
    ]);
  });
});

describe('a provider whose actor keeps crashing', () => {
  const crashLoop = async () => {
    const runtime = await createTestRuntime(TWO);
    for (const name of ['a', 'b']) runtime.provider(name).always = echo();
    runtime.inject((actor) => actor === 'provider/a');
    for (let index = 0; index < 12; index++) {
      await runtime.complete(ask(`r${index}`, 'ab'));
      await runtime.clock.advance(2_000);
    }
    return runtime;
  };

  test('is given up and marked down; the other one answers every request', async () => {
    await using runtime = await crashLoop();
    expect(runtime.eventsOf('provider.gaveUp')).toEqual([{ provider: 'a', restarts: 5 }]);
    expect(runtime.actors()['a']).toMatchObject({ state: 'down', restarts: 5, incarnation: 6 });
    expect(runtime.service.providerStates()['a']?.isDown).toBe(true);
    expect((await runtime.service.healthStatus())['a']?.status).toBe('unhealthy');
    expect(runtime.provider('b').attempts).toHaveLength(12);
    expect(runtime.actors()).toMatchObject({
      b: { incarnation: 1 },
      service: { incarnation: 1 },
      'cost-tracker': { incarnation: 1 },
      'health-monitor': { incarnation: 1 },
    });
    expect(await runtime.failure(runtime.service.completion(ask('x', 'a/m')))).toMatchObject({
      code: 'providers-unavailable',
    });
    expect(runtime.service.explain(ask('x', 'a/m')).candidates[0]).toMatchObject({
      usable: false,
      reasons: [expect.stringContaining('supervisor.restart')],
    });
  });

  test('works again after supervisor.restart', async () => {
    await using runtime = await crashLoop();
    runtime.inject(() => false);
    await runtime.run(runtime.service.supervisor.restart('a'));
    await runtime.clock.settle();
    expect(runtime.eventsOf('provider.revived')).toEqual([{ provider: 'a' }]);
    expect(runtime.actors()['a']).toMatchObject({ state: 'running', incarnation: 7 });
    expect((await runtime.complete(ask('back', 'ab'))).provider).toBe('a');
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });
});

describe('when the root gives up', () => {
  const giveUp = async () => {
    const runtime = await createTestRuntime({ providers: { a: { concurrency: 1 } } });
    const { service, clock } = runtime;
    runtime.provider('a').always = hang();
    const sync = rejection(service.completion(ask('sync')));
    const requestId = await service.completionAsync(ask('async'));
    const stream = service.completionStream(ask('stream'));
    const streamed = stream.response.catch((error: unknown) => error);
    const waiting = service.getResult(requestId, { waitMs: 600_000 });
    await clock.advance(1_000);
    const summary = service.costSummary().catch((error: unknown) => error);
    runtime.inject((actor) => actor === 'health-monitor');
    await clock.advance(30_000);
    return { runtime, sync, waiting, streamed, summary };
  };

  test('open requests end with shutting-down, service.failed is raised and the process lives', async () => {
    const { runtime, sync, waiting, streamed, summary } = await giveUp();
    await using _ = runtime;
    expect(runtime.service.state).toBe('failed');
    expect(await runtime.run(sync)).toMatchObject({ code: 'shutting-down' });
    expect(await waiting).toMatchObject({ status: 'failed', error: { code: 'shutting-down' } });
    expect(await streamed).toMatchObject({ code: 'shutting-down' });
    expect(await summary).toMatchObject({ recordCount: 0 });
    expect(runtime.eventsOf('service.failed')).toMatchObject([{ reason: expect.stringContaining('gave up') }]);
    expect(runtime.leftovers()).toMatchObject({ open: 0, waiting: 0, running: 0 });
    expect(runtime.provider('a').running).toBe(0);
  });

  test('nothing new is taken, nothing hangs, and stop still works', async () => {
    const { runtime } = await giveUp();
    expect(await runtime.failure(runtime.service.completion(HELLO))).toMatchObject({ code: 'shutting-down' });
    expect(await runtime.failure(runtime.service.completionAsync(HELLO))).toMatchObject({ code: 'shutting-down' });
    expect(await runtime.failure(runtime.service.costSummary())).toMatchObject({ code: 'shutting-down' });
    await runtime[Symbol.asyncDispose]();
    expect(runtime.service.state).toBe('stopped');
    expect(runtime.clock.pendingTimers).toBe(0);
  });
});

describe('suspend and resume', () => {
  test.each(['service', 'cost-tracker', 'health-monitor', 'a'])('of %s loses no request and no cost', async (id) => {
    await using runtime = await createTestRuntime({ ...TWO });
    for (const name of ['a', 'b']) runtime.provider(name).always = echo(100);
    const traffic = sendTraffic(runtime, 60, 20, ['ab', 'ba']);
    await runtime.clock.advance(300);
    await runtime.service.supervisor.suspend(id);
    expect(runtime.actors()[id]?.state).toBe('suspended');
    await runtime.clock.advance(5_000);
    await runtime.service.supervisor.resume(id);
    const ended = await runtime.run(traffic);
    await expectAllRight(runtime, ended);
    expect(runtime.actors()[id]).toMatchObject({ state: 'running', incarnation: 1 });
  });

  test('a suspended provider takes no request, and takes them again afterwards', async () => {
    await using runtime = await createTestRuntime(TWO);
    await runtime.service.supervisor.suspend('a');
    expect((await runtime.complete(ask('x', 'ab'))).provider).toBe('b');
    expect(await runtime.failure(runtime.service.completion(ask('x', 'a/m')))).toMatchObject({
      code: 'providers-unavailable',
      retryAfterMs: 1_000,
    });
    const requestId = await runtime.service.completionAsync(ask('x', 'a/m'));
    await runtime.clock.advance(600_000);
    expect(runtime.provider('a').attempts).toEqual([]);
    await runtime.service.supervisor.resume('a');
    expect(await runtime.result(requestId)).toMatchObject({ status: 'succeeded', response: { provider: 'a' } });
  });

  test.each(['suspend', 'resume', 'restart'] as const)(
    '%s of an actor that does not exist is refused with the names that do',
    async (verb) => {
      await using runtime = await createTestRuntime(TWO);
      const error = await runtime.failure(runtime.service.supervisor[verb]('nobody'));
      expect(error).toMatchObject({ code: 'invalid-request', param: 'id' });
      expect(error.message).toContain('cost-tracker');
    },
  );
});
