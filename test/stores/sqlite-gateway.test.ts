/** How operations travel to the engine: in groups, in order, and answered when the group has been run. */
import { expect, test } from 'vitest';
import type { GroupResult, Operation, OperationResult } from '../../src/stores/sqlite/engine.ts';
import { Gateway, type Host } from '../../src/stores/sqlite/gateway.ts';
import { encodeRecord, type StoredRecord } from '../../src/stores/sqlite/stored-record.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { createRecord } from '../support/request-records.ts';
import { rejection } from '../support/test-runtime.ts';

interface Group {
  readonly operations: readonly Operation[];
  /** Answers all of them; by default each with its own first argument. */
  answer(answerOne?: (operation: Operation) => OperationResult, parked?: number): void;
  lose(error: Error): void;
}

const echo = ({ args }: Operation): OperationResult => ({ kind: 'done', value: args[0] });

/** Groups are kept until the test answers them. */
class StagedHost implements Host {
  readonly groups: Group[] = [];
  underWay = 0;
  closed = 0;
  abandoned = 0;

  run(operations: readonly Operation[]): Promise<GroupResult> {
    this.underWay += 1;
    const { promise, resolve, reject } = Promise.withResolvers<GroupResult>();
    this.groups.push({
      operations,
      answer: (answerOne = echo, parked = 0) => {
        this.underWay -= 1;
        resolve({ results: operations.map(answerOne), parked });
      },
      lose: (error) => {
        this.underWay -= 1;
        reject(error);
      },
    });
    return promise;
  }

  readonly afterTurn = (callback: () => void): void => {
    setImmediate(callback);
  };

  async close(): Promise<void> {
    if (this.underWay > 0) throw new Error('expected to be closed when nothing is under way');
    this.closed += 1;
  }

  abandon(): void {
    this.abandoned += 1;
  }

  /** What the n-th group asks for: the first argument of each operation. */
  asked(index: number): readonly unknown[] {
    return this.groups[index]?.operations.map(({ args }) => args[0]) ?? [];
  }
}

interface World {
  readonly host: StagedHost;
  readonly gateway: Gateway;
  readonly clock: VirtualClock;
  /** `load` of an id, whose answer is the id; notes when it was answered. */
  readonly ask: (id: string) => Promise<unknown>;
  readonly answered: readonly string[];
}

function createWorld(): World {
  const host = new StagedHost();
  const clock = new VirtualClock();
  const gateway = new Gateway(host, clock);
  const answered: string[] = [];
  const ask = async (id: string): Promise<unknown> => {
    const value = await gateway.ask('load', id);
    answered.push(id);
    return value;
  };
  return { host, clock, gateway, ask, answered };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
/** Enough for anything that promises and the end of a turn have made ready. */
const turns = async () => {
  for (let index = 0; index < 5; index += 1) await turn();
};

test('what is asked for in one turn is one group, in order, across whatever promises there are between', async () => {
  const { host, ask } = createWorld();
  const asked = [ask('a'), ask('b')];
  await Promise.resolve();
  asked.push(ask('c'));
  expect(host.groups).toHaveLength(0);
  await turns();
  expect(host.groups).toHaveLength(1);
  expect(host.asked(0)).toEqual(['a', 'b', 'c']);
  host.groups[0]?.answer();
  expect(await Promise.all(asked)).toEqual(['a', 'b', 'c']);
});

test('nothing is answered before its group was run, and then in order', async () => {
  const { host, ask, answered } = createWorld();
  const asked = [ask('a'), ask('b')];
  await turns();
  expect(answered).toEqual([]);
  host.groups[0]?.answer();
  await Promise.all(asked);
  expect(answered).toEqual(['a', 'b']);
});

test('what is asked for while a group is under way goes together in the next one, and never two are under way', async () => {
  const { host, ask, answered } = createWorld();
  const asked = [ask('a')];
  for (const id of ['b', 'c', 'd']) {
    await turns();
    asked.push(ask(id));
  }
  await turns();
  expect(host.groups).toHaveLength(1);
  host.groups[0]?.answer();
  await turns();
  expect(answered).toEqual(['a']);
  expect(host.groups).toHaveLength(2);
  expect(host.asked(1)).toEqual(['b', 'c', 'd']);
  host.groups[1]?.answer();
  expect(await Promise.all(asked)).toEqual(['a', 'b', 'c', 'd']);
});

test('a group holds at most a thousand; the rest follows in order', async () => {
  const { host, ask } = createWorld();
  const ids = Array.from({ length: 2_500 }, (_, index) => `req_${index}`);
  const asked = ids.map(ask);
  for (let index = 0; index < 3; index += 1) {
    await turns();
    expect(host.groups).toHaveLength(index + 1);
    host.groups[index]?.answer();
  }
  expect(await Promise.all(asked)).toEqual(ids);
  expect(host.groups.map(({ operations }) => operations.length)).toEqual([1_000, 1_000, 500]);
  expect([0, 1, 2].flatMap((index) => host.asked(index))).toEqual(ids);
});

test('a group holds no more text than is good for it; one that is larger goes alone', async () => {
  const { host, gateway } = createWorld();
  const sizes = [7, 7, 7, 20, 1, 1];
  const asked = sizes.map((size, index) => {
    const body = 'x'.repeat(size * 1_000_000);
    return gateway.ask('insert', { ...encodeRecord(createRecord(`req_${index}`)), body }, 'store');
  });
  for (let index = 0; index < 4; index += 1) {
    await turns();
    host.groups[index]?.answer(() => ({ kind: 'done', value: { kind: 'inserted' } }));
  }
  await Promise.all(asked);
  const idsOf = ({ operations }: Group) => operations.map(({ args }) => (args[0] as StoredRecord).requestId);
  expect(host.groups.map(idsOf)).toEqual([['req_0', 'req_1'], ['req_2'], ['req_3'], ['req_4', 'req_5']]);
});

test('an operation that failed is told so, and its neighbours have their answers', async () => {
  const { host, ask } = createWorld();
  const asked = [ask('a'), ask('b'), ask('c')];
  await turns();
  host.groups[0]?.answer((operation) =>
    operation.args[0] === 'b' ? { kind: 'failed', message: 'the disk is full' } : echo(operation),
  );
  expect(await rejection(asked[1]!)).toMatchObject({ code: 'store-unavailable', message: 'the disk is full' });
  expect([await asked[0], await asked[2]]).toEqual(['a', 'c']);
});

test('who gets no answer is told that there was none', async () => {
  const { host, gateway } = createWorld();
  const asked = gateway.ask('load', 'a');
  await turns();
  host.run = () => Promise.resolve({ results: [], parked: 0 });
  const second = gateway.ask('load', 'b');
  host.groups[0]?.answer();
  await asked;
  expect(await rejection(second)).toMatchObject({ code: 'store-unavailable' });
});

test('a group that is lost fails as a whole, and the next one is run', async () => {
  const { host, ask } = createWorld();
  const asked = [ask('a'), ask('b')];
  await turns();
  const after = ask('c');
  const lost = new Error('the thread ended');
  host.groups[0]?.lose(lost);
  const results = await Promise.allSettled(asked);
  expect(results).toEqual([
    { status: 'rejected', reason: lost },
    { status: 'rejected', reason: lost },
  ]);
  await turns();
  host.groups[1]?.answer();
  expect(await after).toBe('c');
});

test('a host that throws at once is a host that lost the group', async () => {
  const { host, ask } = createWorld();
  host.run = () => {
    throw new Error('it cannot be sent');
  };
  await expect(ask('a')).rejects.toThrow('it cannot be sent');
  await expect(ask('b')).rejects.toThrow('it cannot be sent');
});

test('closing waits for all that was asked for before, and closes the host once', async () => {
  const { host, gateway, ask } = createWorld();
  const asked = [ask('a')];
  await turns();
  asked.push(ask('b'));
  const closings = [gateway.close(), gateway.close()];
  expect(await rejection(ask('c'))).toMatchObject({ code: 'store-unavailable' });
  await turns();
  expect(host.closed).toBe(0);
  host.groups[0]?.answer();
  await turns();
  expect(host.closed).toBe(0);
  host.groups[1]?.answer();
  await Promise.all(closings);
  expect(await Promise.all(asked)).toEqual(['a', 'b']);
  expect(host.closed).toBe(1);
  await gateway.close();
  expect(host.closed).toBe(1);
});

test('closing in the turn in which something was asked for waits for it too', async () => {
  const { host, gateway, ask } = createWorld();
  const asked = ask('a');
  const closed = gateway.close();
  await turns();
  expect(host.closed).toBe(0);
  host.groups[0]?.answer();
  await closed;
  expect(await asked).toBe('a');
});

test('closing after a group was lost does not wait for it', async () => {
  const { host, gateway, ask } = createWorld();
  const asked = ask('a');
  await turns();
  const closed = gateway.close();
  host.groups[0]?.lose(new Error('gone'));
  await expect(asked).rejects.toThrow('gone');
  await closed;
  expect(host.closed).toBe(1);
});

test('closing leaves a host behind that hangs, and tells nobody that anything was done', async () => {
  const { host, gateway, ask, clock } = createWorld();
  const underWay = ask('a');
  await turns();
  const waiting = ask('b');
  const closed = gateway.close();
  for (const each of [underWay, waiting]) each.catch(() => undefined);
  await clock.advance(4_999);
  expect(host.abandoned).toBe(0);
  await clock.advance(1);
  await closed;
  expect(host.abandoned).toBe(1);
  for (const each of [underWay, waiting]) {
    expect(await rejection(each)).toMatchObject({
      code: 'store-unavailable',
      message: "the disk of the store has not answered for 5000 ms while the service ended; look at the system's log",
    });
  }
  // What comes of it later changes nothing.
  host.groups[0]?.answer();
  await turns();
  expect([host.groups.length, host.closed]).toEqual([1, 0]);
});

test('closing leaves a host behind that hangs while it closes', async () => {
  const { host, gateway, clock } = createWorld();
  host.close = () => new Promise(() => undefined);
  const closed = gateway.close();
  await clock.advance(5_000);
  await closed;
  expect(host.abandoned).toBe(1);
});

test('closing a host that fails to close says so, and leaves nothing behind that would close it again', async () => {
  const clock = new VirtualClock();
  const host = new StagedHost();
  const gateway = new Gateway(
    Object.assign(host, {
      close: async () => {
        throw new Error('the file is gone');
      },
    }),
    clock,
  );
  await expect(gateway.close()).rejects.toThrow('the file is gone');
  expect(clock.pendingTimers).toBe(0);
  await clock.advance(60_000);
  expect(host.abandoned).toBe(0);
});

test('an idle gateway closes at once', async () => {
  const { host, gateway, clock } = createWorld();
  await gateway.close();
  expect(host.closed).toBe(1);
  expect(clock.pendingTimers).toBe(0);
});

test('how many are parked is what the last group said that was run', async () => {
  const { host, gateway, ask } = createWorld();
  expect(gateway.parked).toBe(0);
  const first = ask('a');
  await turns();
  host.groups[0]?.answer(echo, 7);
  await first;
  expect(gateway.parked).toBe(7);
  const lost = ask('b');
  await turns();
  host.groups[1]?.lose(new Error('gone'));
  await expect(lost).rejects.toThrow('gone');
  expect(gateway.parked).toBe(7);
});

test('an operation carries the moment it was asked for, on a wall clock that does not jump', async () => {
  const { host, clock, ask } = createWorld();
  const startMs = clock.wallMs();
  const asked = [ask('a')];
  clock.jumpWall(-86_400_000);
  await clock.advance(1_500);
  asked.push(ask('b'));
  await turns();
  host.groups[0]?.answer();
  await turns();
  host.groups[1]?.answer();
  await Promise.all(asked);
  const moments = host.groups.flatMap(({ operations }) => operations.map(({ nowMs }) => nowMs));
  expect(moments).toEqual([startMs, startMs + 1_500]);
});
