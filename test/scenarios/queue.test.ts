import { describe, expect, test } from 'vitest';
import type { Priority } from '../../src/contract/request.ts';
import { answer, echo, fail, hang, tokens, finish } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT, rejection, type TestRuntime } from '../support/test-runtime.ts';

const ONE_SLOT = { providers: { a: { concurrency: 1 } }, service: { timeoutMs: 7_200_000 } };

describe('the order of the queue', () => {
  test('is by priority, and within a priority by arrival', async () => {
    await using runtime = await createTestRuntime(ONE_SLOT);
    runtime.provider('a').always = echo(100);
    const send = (prompt: string, priority: Priority) => runtime.service.completion(ask(prompt), { priority });
    const order: [string, Priority][] = [
      ['blocker', 'high'],
      ['l1', 'low'],
      ['n1', 'normal'],
      ['l2', 'low'],
      ['h1', 'high'],
      ['n2', 'normal'],
      ['h2', 'high'],
    ];
    await runtime.run(Promise.all(order.map(([prompt, priority]) => send(prompt, priority))));
    expect(runtime.provider('a').attempts.map((call) => call.prompt)).toEqual([
      'blocker',
      'h1',
      'h2',
      'n1',
      'n2',
      'l1',
      'l2',
    ]);
  });

  test('is by virtual deadline: a low is overtaken by what comes within 600 s, and by nothing later', async () => {
    // The blocker stays within its own limit, so that it keeps the slot.
    const a = { concurrency: 1, timeouts: { unstreamedMs: 800_000 } };
    await using runtime = await createTestRuntime({ ...ONE_SLOT, providers: { a } });
    runtime.provider('a').plan(answer('blocker', { afterMs: 700_000 }));
    const promises = [runtime.service.completion(ask('blocker'))];
    const at = async (ms: number, prompt: string, priority: Priority) => {
      await runtime.clock.advance(ms - runtime.clock.nowMs());
      promises.push(runtime.service.completion(ask(prompt), { priority }));
    };
    await at(1_000, 'low at 1', 'low');
    await at(2_000, 'normal at 2', 'normal');
    await at(33_000, 'high at 33', 'high');
    await at(570_500, 'normal at 570.5', 'normal');
    await at(571_500, 'normal at 571.5', 'normal');
    await at(600_500, 'high at 600.5', 'high');
    await at(601_500, 'high at 601.5', 'high');
    await runtime.run(Promise.all(promises));
    expect(
      runtime
        .provider('a')
        .attempts.slice(1)
        .map((call) => call.prompt),
    ).toEqual([
      'normal at 2',
      'high at 33',
      'normal at 570.5',
      'high at 600.5',
      'low at 1',
      'normal at 571.5',
      'high at 601.5',
    ]);
  });

  test('makes a high behind twenty lows the very next, also while the provider is paced', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { rateLimit: { requestsPerMinute: 20 } } } });
    const lows = Array.from({ length: 20 }, (_, index) =>
      runtime.service.completion(ask(`low ${index}`), { priority: 'low' }),
    );
    await runtime.clock.advance(4_000);
    const sent = runtime.provider('a').attempts.length;
    const high = runtime.service.completion(ask('high'), { priority: 'high' });
    await runtime.run(high);
    expect(runtime.provider('a').attempts[sent]?.prompt).toBe('high');
    await runtime.run(Promise.all(lows));
  });

  test('keeps a request that is retried at its original place', async () => {
    await using runtime = await createTestRuntime(ONE_SLOT);
    const provider = runtime.provider('a');
    provider.plan(fail('rate-limited', { retryAfterMs: 2_000 }));
    provider.always = echo(100);
    const first = runtime.service.completion(ask('first'));
    await runtime.clock.advance(1);
    const later = Array.from({ length: 5 }, (_, index) => runtime.service.completion(ask(`later ${index}`)));
    await runtime.run(Promise.all([first, ...later]));
    expect(provider.attempts.map((call) => call.prompt).indexOf('first', 1)).toBeLessThanOrEqual(2);
  });
});

describe('tenants', () => {
  const promptsAt = (runtime: TestRuntime) => runtime.provider('a').attempts.map(({ prompt }) => prompt);
  const range = (count: number, name: string) => Array.from({ length: count }, (_, index) => `${name} ${index}`);

  /** Sends these for a tenant, in this order; gives what each call comes to. */
  const sendAll = (runtime: TestRuntime, tenant: string, prompts: readonly string[], priority: Priority = 'normal') =>
    prompts.map((prompt) =>
      runtime.service.completion(ask(prompt), { tenant, priority }).then(
        () => 'answered',
        (error: { code: string }) => error.code,
      ),
    );

  test('take turns: what one has sent delays the first request of another by one turn', async () => {
    await using runtime = await createTestRuntime(ONE_SLOT);
    runtime.provider('a').always = echo(100);
    const many = sendAll(runtime, 'many', range(200, 'many'));
    await runtime.clock.advance(50);
    const few = sendAll(runtime, 'few', range(2, 'few'));
    const one = sendAll(runtime, 'one', range(1, 'one'));
    await runtime.run(Promise.all([...few, ...one]));
    expect(runtime.clock.nowMs()).toBe(600);
    await runtime.run(Promise.all(many));
    expect(promptsAt(runtime).slice(0, 8)).toEqual([
      'many 0',
      'many 1',
      'few 0',
      'one 0',
      'many 2',
      'few 1',
      'many 3',
      'many 4',
    ]);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('take turns also where they submit, stream and ask under several names of one provider', async () => {
    await using runtime = await createTestRuntime({ ...ONE_SLOT, models: { alias: ['a/m'] } });
    runtime.provider('a').always = echo(100);
    const many = sendAll(runtime, 'many', range(50, 'many'));
    const { service } = runtime;
    await service.completionAsync(ask('few submitted', 'alias'), { tenant: 'few' });
    const streamed = service.completionStream(ask('few streamed', 'a/m'), { tenant: 'few' });
    const called = service.completion(ask('few called'), { tenant: 'few' });
    await runtime.run(Promise.all([streamed.response, called]));
    expect(promptsAt(runtime).slice(0, 7)).toEqual([
      'many 0',
      'many 1',
      'few submitted',
      'many 2',
      'few streamed',
      'many 3',
      'few called',
    ]);
    await runtime.run(Promise.all(many));
  });

  test('lose no turn to pacing: they go on taking turns while the lane stands still between any two requests', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { rateLimit: { requestsPerMinute: 20 } } },
      service: { timeoutMs: 7_200_000 },
    });
    const many = sendAll(runtime, 'many', range(30, 'many'));
    await runtime.clock.advance(10);
    const sent = promptsAt(runtime).length;
    const few = sendAll(runtime, 'few', range(8, 'few'));
    await runtime.run(Promise.all([...many, ...few]));
    const tenants = promptsAt(runtime)
      .slice(sent)
      .map((prompt) => prompt.split(' ')[0]);
    expect(sent).toBeLessThan(5);
    expect(tenants.slice(0, 16)).toEqual(Array.from({ length: 8 }, () => ['many', 'few']).flat());
  });

  test('lose no turn to a provider that throttles: whoever was refused goes first when it admits again', async () => {
    await using runtime = await createTestRuntime(ONE_SLOT);
    const provider = runtime.provider('a');
    provider.plan(answer('fine', { afterMs: 100 }), fail('rate-limited', { retryAfterMs: 2_000 }));
    provider.always = echo(100);
    const many = sendAll(runtime, 'many', range(6, 'many'));
    await runtime.clock.advance(10);
    const few = sendAll(runtime, 'few', range(3, 'few'));
    await runtime.run(Promise.all([...many, ...few]));
    const tenants = promptsAt(runtime).map((prompt) => prompt.split(' ')[0]);
    // The second attempt was refused upstream. It was sent, so that it was a turn, and takes another.
    expect(promptsAt(runtime).slice(0, 2)).toEqual(['many 0', 'many 1']);
    expect(tenants.slice(2, 8)).toEqual(['few', 'many', 'few', 'many', 'few', 'many']);
  });

  test('do not change what a class may wait: a low of one is overtaken by what others send within 600 s, and by nothing later', async () => {
    const a = { concurrency: 1, timeouts: { unstreamedMs: 800_000 } };
    await using runtime = await createTestRuntime({ ...ONE_SLOT, providers: { a } });
    runtime.provider('a').plan(answer('blocker', { afterMs: 700_000 }));
    const promises = sendAll(runtime, 'many', ['blocker']);
    const at = async (seconds: number, tenant: string, priority: Priority) => {
      await runtime.clock.advance(seconds * 1_000 - runtime.clock.nowMs());
      promises.push(...sendAll(runtime, tenant, [`${tenant} ${priority} at ${seconds}`], priority));
    };
    await at(1, 'few', 'low');
    await at(2, 'few', 'low');
    for (const seconds of [580, 581, 582]) await at(seconds, 'many', 'high');
    await at(600, 'other', 'high');
    await at(602, 'many', 'high');
    await at(603, 'other', 'high');
    await runtime.run(Promise.all(promises));
    expect(promptsAt(runtime).slice(1)).toEqual([
      'many high at 580',
      'other high at 600',
      'many high at 581',
      // The turn of the one at 603, which may not go before either.
      'few low at 1',
      'many high at 582',
      'few low at 2',
      'other high at 603',
      'many high at 602',
    ]);
  });
});

describe('lanes', () => {
  test('a provider that stands still blocks no other', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { concurrency: 1, models: ['x'] }, b: { models: ['y'] } },
    });
    runtime.provider('a').always = hang();
    const stuck = Array.from({ length: 50 }, () =>
      runtime.service.completion(ask('x', 'x'), { timeoutMs: 60_000 }).catch(() => undefined),
    );
    await runtime.clock.settle();
    for (let index = 0; index < 20; index++) expect((await runtime.complete(ask('y', 'y'))).latency.totalMs).toBe(0);
    await runtime.run(Promise.all(stuck));
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('never exceed the concurrency of their provider', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 7 } } });
    runtime.provider('a').always = echo(50);
    const requests = Array.from({ length: 200 }, (_, index) => runtime.service.completion(ask(`r${index}`)));
    await runtime.run(Promise.all(requests));
    expect(runtime.provider('a').peak).toBe(7);
    expect(runtime.clock.nowMs()).toBe(Math.ceil(200 / 7) * 50);
  });
});

describe('the bound of the queue', () => {
  test.each(['sync', 'async', 'stream'] as const)(
    'admits %s request n and refuses n+1 with queue-full at once',
    async (mode) => {
      await using runtime = await createTestRuntime({
        providers: { a: { concurrency: 1 } },
        service: { queueDepthMax: 20 },
      });
      const { service } = runtime;
      runtime.provider('a').always = hang();
      const running = service.completion(ask('running')).catch(() => undefined);
      await runtime.clock.settle();
      const outcomes = Array.from({ length: 21 }, (_, index) => {
        if (mode === 'async')
          return service.completionAsync(ask(`r${index}`)).then(
            () => 'admitted',
            (error: { code: string }) => error.code,
          );
        const response =
          mode === 'sync' ? service.completion(ask(`r${index}`)) : service.completionStream(ask(`r${index}`)).response;
        return Promise.race([
          response.then(
            () => 'answered',
            (error: { code: string }) => error.code,
          ),
          runtime.clock.settle().then(() => 'admitted'),
        ]);
      });
      expect(await Promise.all(outcomes)).toEqual([...Array.from({ length: 20 }, () => 'admitted'), 'queue-full']);
      await runtime.clock.settle();
      expect(service.queueStatus().lanes[0]).toMatchObject({ waiting: 20, running: 1 });
      expect(await runtime.failure(service.completion(HELLO))).toMatchObject({
        code: 'queue-full',
        retryAfterMs: 1_000,
      });
      await runtime.run(service.stop({ graceMs: 0 }));
      await running;
      expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
    },
  );

  test('is shared: a tenant that has filled the queue makes room for another until both hold as much', async () => {
    await using runtime = await createTestRuntime({ ...ONE_SLOT, service: { queueDepthMax: 6 } });
    runtime.provider('a').plan(answer('blocker', { afterMs: 10_000 }));
    const { service } = runtime;
    const running = service.completion(ask('blocker'));
    await runtime.clock.settle();
    const names = new Map<string, string>();
    const submit = async (tenant: string, name: string) => {
      await runtime.clock.advance(1);
      return service.completionAsync(ask(name), { tenant, priority: 'low' }).then(
        (requestId) => {
          names.set(requestId, name);
          return 'admitted';
        },
        (error: { code: string }) => error.code,
      );
    };
    for (let index = 0; index < 6; index += 1) expect(await submit('many', `many ${index}`)).toBe('admitted');
    expect(await submit('many', 'many 6')).toBe('queue-full');
    const outcomes: string[] = [];
    for (let index = 0; index < 4; index += 1) outcomes.push(await submit('few', `few ${index}`));
    expect(outcomes).toEqual(['admitted', 'admitted', 'admitted', 'queue-full']);
    await runtime.clock.settle();
    const shed = runtime.eventsOf('request.settled').filter(({ code }) => code === 'queue-full');
    expect(shed.map(({ requestId }) => names.get(requestId))).toEqual(['many 5', 'many 4', 'many 3']);
    // Whoever holds least is let in by those who hold most, of whom the last to come goes.
    expect(await submit('third', 'third 0')).toBe('admitted');
    await runtime.clock.settle();
    expect(names.get(runtime.eventsOf('request.settled').at(-1)?.requestId ?? '')).toBe('few 2');
    await runtime.run(running);
    for (const [requestId, name] of names)
      if (!['many 5', 'many 4', 'many 3', 'few 2'].includes(name))
        expect(await runtime.result(requestId)).toMatchObject({ status: 'succeeded' });
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });
});

describe('requests that leave', () => {
  test.each([1, 2, 3])('a thousand random aborts and cancels leave nothing behind (seed %i)', async (seed) => {
    await using runtime = await createTestRuntime({
      providers: { a: { concurrency: 10 }, b: { concurrency: 5 } },
      models: { ab: ['a/m', 'b/m'], ba: ['b/m', 'a/m'] },
      seed,
    });
    const { service, clock } = runtime;
    for (const name of ['a', 'b']) runtime.provider(name).always = tokens(5, 40, finish());
    await clock.advance(10);
    const timers = clock.pendingTimers;
    const ends = Array.from({ length: 1_000 }, (_, index) => {
      const model = index % 2 === 0 ? 'ab' : 'ba';
      const leaveAtMs = Math.floor(clock.random() * 6_000);
      const leaving = new AbortController();
      clock.setTimeout(() => {
        leaving.abort();
      }, leaveAtMs);
      const options = { signal: leaving.signal };
      if (index % 3 === 0)
        return service.completion(ask(`r${index}`, model), options).then(
          () => 'answered',
          (error: { code: string }) => error.code,
        );
      if (index % 3 === 1)
        return service.completionStream(ask(`r${index}`, model), options).response.then(
          () => 'answered',
          (error: { code: string }) => error.code,
        );
      return service.completionAsync(ask(`r${index}`, model)).then(async (requestId) => {
        clock.setTimeout(() => void service.cancel(requestId), leaveAtMs);
        const { status } = await service.getResult(requestId, { waitMs: 600_000 });
        return status === 'succeeded' ? 'answered' : status;
      });
    });
    const outcomes = await runtime.run(Promise.all(ends));
    expect(new Set(outcomes)).toEqual(new Set(['answered', 'cancelled']));
    expect(outcomes.filter((outcome) => outcome === 'cancelled').length).toBeGreaterThan(200);
    await clock.advance(7_000);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
    expect([runtime.provider('a').running, runtime.provider('b').running]).toEqual([0, 0]);
    expect(clock.pendingTimers).toBe(timers);
    for (const state of Object.values(service.providerStates()))
      expect(state.breaker).toMatchObject({ state: 'closed', failureCount: 0 });
  });

  test('a caller who leaves stops the upstream call at once; one who submitted does not', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    runtime.provider('a').always = echo(5_000);
    const leaving = new AbortController();
    const sync = rejection(runtime.service.completion(ask('sync'), { signal: leaving.signal }));
    const requestId = await runtime.service.completionAsync(ask('async'), { signal: leaving.signal });
    await runtime.clock.advance(100);
    leaving.abort();
    expect(await runtime.run(sync)).toMatchObject({ code: 'cancelled', attempts: [{ outcome: 'abandoned' }] });
    expect(runtime.clock.nowMs()).toBe(100);
    expect(runtime.provider('a').attempts.find((call) => call.prompt === 'sync')?.isAborted).toBe(true);
    expect(await runtime.result(requestId)).toMatchObject({ status: 'succeeded' });
  });
});

describe('pacing', () => {
  test.each([10, 60, 600])('at %i requests per minute no minute holds more than that', async (requestsPerMinute) => {
    await using runtime = await createTestRuntime({
      providers: { a: { rateLimit: { requestsPerMinute }, concurrency: 1_000 } },
      service: { timeoutMs: 7_200_000 },
    });
    const count = Math.ceil(requestsPerMinute * 2.5);
    await runtime.run(Promise.all(Array.from({ length: count }, () => runtime.service.completion(HELLO))));
    const times = runtime.provider('a').attempts.map((call) => call.atMs);
    for (const from of times)
      expect(times.filter((atMs) => atMs >= from && atMs < from + 60_000).length).toBeLessThanOrEqual(
        requestsPerMinute,
      );
    expect(runtime.clock.nowMs()).toBeLessThan((count / (requestsPerMinute * 0.8)) * 60_000);
  });

  test('tokens that a call did not use are given back', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { rateLimit: { tokensPerMinute: 60_000 } } },
      service: { timeoutMs: 7_200_000 },
    });
    const requests = Array.from({ length: 100 }, () => runtime.service.completion({ ...HELLO, maxTokens: 5_000 }));
    await runtime.run(Promise.all(requests));
    // Taken as they were asked for, 100 × 5,000 tokens would have taken nine minutes.
    expect(runtime.clock.nowMs()).toBeLessThan(120_000);
  });

  test('one attempt takes one token of the rate, also when it waited in line and others left', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { rateLimit: { requestsPerMinute: 60 }, concurrency: 1 } },
    });
    const leaving = new AbortController();
    const leavers = Array.from({ length: 30 }, () =>
      runtime.service.completion(HELLO, { signal: leaving.signal, priority: 'low' }).catch(() => undefined),
    );
    await runtime.clock.advance(1);
    leaving.abort();
    await runtime.run(Promise.all(leavers));
    const before = runtime.provider('a').attempts.length;
    await runtime.run(Promise.all(Array.from({ length: 18 }, () => runtime.service.completion(HELLO))));
    // 54 per minute with a burst of 5.4, less what the leavers had really sent.
    expect(runtime.clock.nowMs()).toBeLessThan(((18 + before) / 54) * 60_000);
  });
});
