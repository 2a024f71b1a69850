/** A batch over a store file: whatever process ends at whatever point, no line is lost and none is answered twice. */
import { describe, expect, test } from 'vitest';
import type { Batch, BatchResult } from '../../src/contract/batches.ts';
import { type DurableProcess, DurableWorld } from '../support/durable-world.ts';
import { dyingAfter, losing, losingNth } from '../support/failing-hosts.ts';
import { echo, hang, when } from '../support/scripted-provider.ts';
import { ask, rejection } from '../support/test-runtime.ts';

const HOUR_MS = 3_600_000;

const questions = (count: number) => Array.from({ length: count }, (_, index) => ask(`${index}`));

const textsOf = (results: readonly BatchResult[]) =>
  results.map((result) => (result.status === 'succeeded' ? result.response.text : result.error.code));

const answers = (count: number) => Array.from({ length: count }, (_, index) => `a: ${index}`);

/** The one batch that there is, in whichever process. */
async function onlyBatch(world: DurableWorld, { service }: DurableProcess): Promise<Batch | undefined> {
  const states = await world.run(service.batches.listStates({ max: 9 }));
  expect(states.length).toBeLessThan(2);
  const [state] = states;
  return state === undefined ? undefined : world.run(service.getBatch(state.batch.batchId));
}

describe('a process that is killed', () => {
  test('in the middle of a batch loses none of it: the next one goes on where it was', async () => {
    using world = new DurableWorld();
    const first = await world.start({ concurrency: 2, always: echo(1_000) });
    const { batchId } = await world.run(first.service.completionBatch(questions(130), { idempotencyKey: 'k' }));
    await world.clock.advance(10_500);
    expect(first.provider.attempts).toHaveLength(22);
    first.kill();

    const second = await world.start({ concurrency: 2, always: echo(1_000) });
    const batch = await world.run(second.service.getBatch(batchId));
    expect(batch.counts).toMatchObject({ total: 130, succeeded: 20 });
    expect(textsOf(await world.run(batch.results()))).toEqual(answers(130));
    expect(second.provider.attempts).toHaveLength(110);
    const again = await world.run(second.service.completionBatch(questions(130), { idempotencyKey: 'k' }));
    expect(again.batchId).toBe(batchId);
    await world.run(second.service.stop());
  });

  test('at any point leaves a whole batch or none, and one that was acknowledged always', async () => {
    let deaths = 0;
    for (let groupsMax = 2; ; groupsMax++) {
      using world = new DurableWorld();
      const wrapHost = dyingAfter(groupsMax);
      const first = await world.start({ concurrency: 2, always: echo(100), wrapHost }).catch(() => undefined);
      if (first === undefined) continue;
      let isAcknowledged = false;
      let isDone = false;
      const submitting = first.service.completionBatch(questions(6), { idempotencyKey: 'k' });
      void submitting
        .then((batch) => {
          isAcknowledged = true;
          return batch.results();
        })
        .then(() => (isDone = true));
      await world.clock.advance(20_000);
      first.kill();
      if (!isDone) deaths += 1;

      const second = await world.start({ concurrency: 2, always: echo(100) });
      const found = await onlyBatch(world, second);
      if (isAcknowledged) expect(found).toBeDefined();
      const batch = found ?? (await world.run(second.service.completionBatch(questions(6), { idempotencyKey: 'k' })));
      expect([groupsMax, textsOf(await world.run(batch.results()))]).toEqual([groupsMax, answers(6)]);
      expect(batch.counts).toMatchObject({ total: 6, succeeded: 6 });
      // At most what was running when it died is sent a second time.
      expect(first.provider.attempts.length + second.provider.attempts.length).toBeLessThan(9);
      await world.run(second.service.stop());
      expect(world.file.read('SELECT count(*) AS count FROM batch_lines')).toEqual([{ count: 0 }]);
      if (isDone) break;
    }
    expect(deaths).toBeGreaterThan(15);
  }, 120_000);

  test('while a batch is being cancelled leaves a cancelled one', async () => {
    for (const groups of [0, 1, 2, 3, 4]) {
      using world = new DurableWorld();
      const first = await world.start({ concurrency: 2, always: hang(), service: { queueDepthMax: 4 } });
      const batch = await world.run(first.service.completionBatch(questions(700)));
      await world.clock.advance(1_000);
      const asked = first.asked.length;
      void batch.cancel().catch(() => undefined);
      while (first.askedFor('cancelBatch') === 0 || first.asked.length < asked + groups) await world.clock.settle();
      first.kill();
      const second = await world.start({ concurrency: 2 });
      const rest = await world.run(second.service.getBatch(batch.batchId));
      const results = await world.run(rest.results());
      expect(results).toHaveLength(700);
      expect(rest.counts).toEqual({ total: 700, queued: 0, running: 0, succeeded: 0, failed: 0, cancelled: 700 });
      expect(second.provider.attempts).toEqual([]);
      await world.run(second.service.stop());
    }
  });

  test('for longer than the time of a batch leaves it expired: what was not done fails, nothing is sent', async () => {
    using world = new DurableWorld();
    const first = await world.start({ concurrency: 1, always: echo(1_000) });
    const { batchId } = await world.run(first.service.completionBatch(questions(300), { timeoutMs: HOUR_MS }));
    await world.clock.advance(2_500);
    first.kill();
    await world.clock.advance(2 * HOUR_MS);
    const second = await world.start();
    const batch = await world.run(second.service.getBatch(batchId));
    const results = await world.run(batch.results());
    expect(textsOf(results.slice(0, 2))).toEqual(answers(2));
    expect(new Set(textsOf(results.slice(2)))).toEqual(new Set(['timeout']));
    expect((await world.run(second.service.batches.loadState(batchId))).status).toBe('expired');
    expect(second.provider.attempts).toEqual([]);
    await world.run(second.service.stop());
  });

  test('leaves what may be sent at most once to fail as interrupted, and the rest to be run', async () => {
    using world = new DurableWorld();
    const first = await world.start({ concurrency: 2, always: hang() });
    const options = { recovery: 'atMostOnce' } as const;
    const { batchId } = await world.run(first.service.completionBatch(questions(5), options));
    await world.clock.advance(1_000);
    first.kill();
    const second = await world.start({ always: echo() });
    const batch = await world.run(second.service.getBatch(batchId));
    expect(textsOf(await world.run(batch.results())).toSorted()).toEqual([
      'a: 2',
      'a: 3',
      'a: 4',
      'interrupted',
      'interrupted',
    ]);
    await world.run(second.service.stop());
  });
});

describe('a store whose answer is lost', () => {
  test('has entered the lines all the same: none comes twice', async () => {
    using world = new DurableWorld();
    const process = await world.start({ always: echo(), wrapHost: losing('enterLines', 'enterLines') });
    const batch = await world.run(process.service.completionBatch(questions(250)));
    expect(textsOf(await world.run(batch.results()))).toEqual(answers(250));
    expect(process.provider.attempts).toHaveLength(250);
    const failures = world.events.filter(({ name }) => name === 'store.failed');
    expect(failures.map(({ payload }) => payload)).toContainEqual(
      expect.objectContaining({ operation: `batch ${batch.batchId}` }),
    );
    await world.run(process.service.stop());
  });

  test.each([1, 2, 3])('to the %i. time that lines were entered is not taken for another range', async (number) => {
    using world = new DurableWorld();
    const wrapHost = losingNth('enterLines', number);
    const process = await world.start({ concurrency: 20, always: echo(100), wrapHost });
    const batch = await world.run(process.service.completionBatch(questions(420)));
    expect(textsOf(await world.run(batch.results()))).toEqual(answers(420));
    expect(process.provider.attempts).toHaveLength(420);
    await world.run(process.service.stop());
  });

  test.each(['countBatch', 'finishBatch', 'readLines'] as const)('to %s is asked again', async (name) => {
    using world = new DurableWorld();
    const process = await world.start({ always: echo(10), wrapHost: losing(name) });
    const batch = await world.run(process.service.completionBatch(questions(20)));
    expect(textsOf(await world.run(batch.results()))).toEqual(answers(20));
    await world.run(process.service.stop());
  });

  test('has created the batch, and it is run; whoever asks again with the same key gets it', async () => {
    using world = new DurableWorld();
    const process = await world.start({ always: echo(), wrapHost: losing('createBatch') });
    const options = { idempotencyKey: 'k' };
    const first = await world.run(process.service.completionBatch(questions(4), options));
    const batch = await world.run(process.service.completionBatch(questions(4), options));
    expect(batch.batchId).toBe(first.batchId);
    expect(textsOf(await world.run(first.results()))).toEqual(answers(4));
    expect(await onlyBatch(world, process)).toBeDefined();
    await world.run(process.service.stop());
  });

  test('that could not even be asked what it did runs the batch once somebody comes for it', async () => {
    using world = new DurableWorld();
    const process = await world.start({ always: echo(), wrapHost: losing('createBatch', 'loadBatch') });
    const options = { idempotencyKey: 'k' };
    const failed = await world.run(rejection(process.service.completionBatch(questions(4), options)));
    expect(failed).toMatchObject({ code: 'store-unavailable' });
    const batch = await world.run(process.service.completionBatch(questions(4), options));
    expect(textsOf(await world.run(batch.results()))).toEqual(answers(4));
    await world.run(process.service.stop());
  });
});

describe('an input that turns out to be wrong', () => {
  const submission = {
    kind: 'completion',
    file: {
      fileId: 'file-1',
      tenant: 'default',
      name: 'requests.jsonl',
      purpose: 'batch',
      bytes: 1,
      digest: 'd',
      createdAt: 0,
      expiresAt: 0,
    },
  } as const;

  test.each([
    ['told', 'refused'],
    ['thrown', 'gone'],
  ])('after many lines were written, %s, leaves none of them', async (how, left) => {
    using world = new DurableWorld();
    const process = await world.start();
    const inputs = async function* () {
      for (let index = 0; index < 1_200; index++) yield { customId: `${index}`, request: ask(`${index}`) };
      if (how === 'thrown') throw new Error('the upload is gone');
      yield { problem: { code: 'invalid_url', message: 'wrong', line: 1_201 } };
    };
    const submitted = process.service.batches.submit(inputs(), submission).then(
      ({ status }) => status,
      () => 'gone',
    );
    expect(await world.run(submitted)).toBe(left);
    expect(process.askedFor('appendLines')).toBeGreaterThan(1);
    await world.run(process.service.stop());
    expect(world.file.read('SELECT count(*) AS count FROM batch_lines')).toEqual([{ count: 0 }]);
    expect(world.file.read('SELECT count(*) AS count FROM requests')).toEqual([{ count: 0 }]);
  });
});

describe('a large batch', () => {
  test('does not flood the store: so many lines are requests as are run in minutes, the others wait as lines', async () => {
    using world = new DurableWorld();
    const process = await world.start({ concurrency: 1, always: hang() });
    const batch = await world.run(process.service.completionBatch(questions(3_000)));
    await world.clock.advance(30_000);
    const { batch: record } = await world.run(process.service.batches.loadState(batch.batchId));
    expect(record.entered).toBe(100);
    expect(batch.counts).toMatchObject({ total: 3_000, queued: 3_000 - batch.counts.running });
    process.kill();
  });

  test('that is fast gets further ahead, and is done as fast as its provider can', async () => {
    using world = new DurableWorld();
    const process = await world.start({ concurrency: 50, always: echo(500) });
    const batch = await world.run(process.service.completionBatch(questions(450)));
    const began = world.clock.nowMs();
    await world.run(batch.results());
    // 450 of half a second each, fifty at a time, take four and a half seconds.
    expect(world.clock.nowMs() - began).toBeLessThan(6_500);
    expect(process.provider.peak).toBe(50);
    await world.run(process.service.stop());
  });

  test('leaves interactive work alone for as long as it takes: nobody waits behind lines that have grown old', async () => {
    using world = new DurableWorld();
    const process = await world.start({ concurrency: 2, always: echo(8_000) });
    const batch = await world.run(process.service.completionBatch(questions(400)));
    const waits: number[] = [];
    for (let minute = 0; minute < 19; minute++) {
      await world.clock.advance(60_000);
      const began = world.clock.nowMs();
      await world.run(process.service.completion(ask(`now ${minute}`), { priority: 'high' }));
      waits.push(world.clock.nowMs() - began);
    }
    expect(Math.max(...waits)).toBeLessThan(17_000);
    await world.run(batch.results());
    await world.run(process.service.stop());
  });

  test('in a memory that holds few requests is run from the store', async () => {
    using world = new DurableWorld();
    const process = await world.start({ concurrency: 2, always: echo(100), service: { queueDepthMax: 4 } });
    const batch = await world.run(process.service.completionBatch(questions(60)));
    expect(textsOf(await world.run(batch.results()))).toEqual(answers(60));
    await world.run(process.service.stop());
  });
});

describe('a service that stops', () => {
  test('tells whoever waits that the batch goes on, and it does', async () => {
    using world = new DurableWorld();
    const first = await world.start({ concurrency: 1, always: echo(1_000) });
    const batch = await world.run(first.service.completionBatch(questions(10)));
    const failed = rejection(batch.results());
    await world.clock.advance(2_500);
    await world.run(first.service.stop());
    expect(await failed).toMatchObject({ code: 'shutting-down' });
    expect((await failed).message).toContain(`${batch.batchId} goes on when it starts again`);
    const second = await world.start({ always: echo() });
    const rest = await world.run(second.service.getBatch(batch.batchId));
    expect(textsOf(await world.run(rest.results()))).toEqual(answers(10));
    expect(first.provider.attempts.length + second.provider.attempts.length).toBe(10);
    await world.run(second.service.stop());
  });

  test('enters no further lines, however many end meanwhile', async () => {
    using world = new DurableWorld();
    const process = await world.start({ concurrency: 40, always: echo(1_000) });
    await world.run(process.service.completionBatch(questions(300)));
    await world.clock.advance(500);
    const before = process.askedFor('enterLines');
    await world.run(process.service.stop());
    expect(world.events.filter(({ name }) => name === 'request.settled')).toHaveLength(40);
    expect(process.askedFor('enterLines')).toBe(before);
  });

  test('with a config that has lost the model: its lines fail by name, the batch ends', async () => {
    using world = new DurableWorld();
    const first = await world.start({ concurrency: 1, always: hang(), models: ['m', 'old'] });
    const requests = [ask('0'), ask('1', 'old'), ask('2')];
    const batch = await world.run(first.service.completionBatch(requests));
    first.kill();
    const second = await world.start({ always: when(() => echo()) });
    const rest = await world.run(second.service.getBatch(batch.batchId));
    expect(textsOf(await world.run(rest.results()))).toEqual(['a: 0', 'unknown-model', 'a: 2']);
    await world.run(second.service.stop());
  });
});
