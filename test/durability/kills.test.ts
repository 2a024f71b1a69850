import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { Dice } from '../simulation/dice.ts';
import { checkHistory, countSeen, recoveryTimes } from './kills/check-history.ts';
import { Life } from './kills/daemon.ts';
import type { EmbeddingOptions } from './kills/embedding-program.ts';
import type { History, StoredRow, Wish } from './kills/history.ts';
import { readRows } from './kills/rows.ts';
import { type KillsSoFar, runKills } from './kills/run-kills.ts';
import { renderPrompt, Upstream } from './kills/upstream.ts';
import { makeFolder } from './stores.ts';

const PROGRAM = fileURLToPath(new URL('kills/embedding-program.ts', import.meta.url));
/** As a machine with other work takes longer to start a process. */
const PATIENCE = { timeout: 180_000 };

/** What has to have happened, or too little is shown. How many kills it takes depends on how fast the machine is. */
function hasSeenEnough({ listening, seen, calls }: KillsSoFar): boolean {
  const { accepted, unanswered, read } = countSeen(seen);
  return listening > 5 && accepted > 20 && unanswered > 5 && read > 20 && recoveryTimes({ calls }).length > 0;
}

describe('a daemon that is killed again and again', () => {
  test('loses nothing it had acknowledged, and ends each request once', PATIENCE, async () => {
    const needsMore = (report: KillsSoFar) => !hasSeenEnough(report);
    const report = await runKills({ seed: 'suite', kills: 8, needsMore, killsMax: 50, callers: 8, restMs: 60_000 });
    expect(checkHistory(report)).toEqual([]);
    expect(report.complaints).toEqual([]);
    expect(hasSeenEnough(report)).toBe(true);
    expect(report.rows.some(({ recoveries }) => recoveries > 0)).toBe(true);
  });
});

describe('a hundred callers with one idempotency key', () => {
  interface Submitted {
    readonly status: number;
    readonly requestId: string | undefined;
  }

  async function submit(url: string): Promise<Submitted | 'unanswered'> {
    try {
      const response = await fetch(`${url}/v1/requests`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': 'one' },
        body: JSON.stringify({ model: 'up/m', messages: [{ role: 'user', content: renderPrompt('one', false) }] }),
      });
      const { requestId } = (await response.json()) as { requestId?: string };
      return { status: response.status, requestId };
    } catch {
      return 'unanswered';
    }
  }

  async function submitAll(life: Life): Promise<readonly (Submitted | 'unanswered')[]> {
    const url = await life.url;
    expect(url, life.output).toBeDefined();
    return Promise.all(Array.from({ length: 100 }, () => submit(url ?? '')));
  }

  test('get one id, although the process died between the commit and the first reply', PATIENCE, async () => {
    await using folder = await makeFolder();
    await using upstream = new Upstream(new Dice('one key'));
    const options: EmbeddingOptions = { path: join(folder.path, 'store.db'), upstream: await upstream.listen() };
    const start = (more: Partial<EmbeddingOptions>) =>
      new Life([PROGRAM, JSON.stringify({ ...options, ...more })], folder.path);
    const mortal = start({ dieAfterCommits: 1 });
    expect(new Set(await submitAll(mortal))).toEqual(new Set(['unanswered']));
    expect(await mortal.exited).toBeNull();
    const [committed, ...others] = readRows(options.path);
    expect(others).toEqual([]);
    expect(committed).toMatchObject({ tag: 'one', standing: 'queued' });
    const next = start({});
    const answers = await submitAll(next);
    await next.end('SIGKILL');
    expect(new Set(answers.map((answer) => JSON.stringify(answer)))).toEqual(
      new Set([JSON.stringify({ status: 202, requestId: committed?.requestId })]),
    );
    expect(readRows(options.path)).toHaveLength(1);
    expect(upstream.calls.length).toBeLessThanOrEqual(1);
  });

  test('get one id, whenever the process dies', PATIENCE, async () => {
    await using folder = await makeFolder();
    await using upstream = new Upstream(new Dice('one key'));
    const options: EmbeddingOptions = { path: join(folder.path, 'store.db'), upstream: await upstream.listen() };
    const dice = new Dice('one key, many kills');
    const ids = new Set<string>();
    for (let life = 0; life < 5; life++) {
      const process = new Life([PROGRAM, JSON.stringify(options)], folder.path);
      const submitted = submitAll(process);
      await process.url;
      await new Promise((resolve) => setTimeout(resolve, dice.integer(0, 150)));
      await process.end('SIGKILL');
      for (const answer of await submitted)
        if (answer !== 'unanswered') ids.add(answer.requestId ?? String(answer.status));
    }
    const last = new Life([PROGRAM, JSON.stringify(options)], folder.path);
    for (const answer of await submitAll(last)) ids.add(answer === 'unanswered' ? answer : (answer.requestId ?? ''));
    await last.end('SIGKILL');
    expect(readRows(options.path).map(({ requestId }) => requestId)).toEqual([...ids]);
  });
});

describe('the check of a history', () => {
  const wish: Wish = { tag: 'w', isKeyed: true, recovery: 'atLeastOnce', isPoison: false };
  const row: StoredRow = { requestId: 'r', tag: 'w', standing: 'succeeded yes', recoveries: 0, settlements: 1 };
  const good: History = {
    wishes: [wish],
    seen: [
      { kind: 'accepted', tag: 'w', requestId: 'r' },
      { kind: 'read', requestId: 'r', standing: 'running' },
      { kind: 'read', requestId: 'r', standing: 'succeeded yes' },
    ],
    calls: [{ tag: 'w', life: 1, afterMs: 10 }],
    rows: [row],
  };
  const called = (...lives: readonly number[]) => lives.map((life) => ({ tag: 'w', life, afterMs: 10 }));
  const interrupted = { ...row, standing: 'failed interrupted', recoveries: 3 };

  test('finds nothing in one that is good', () => {
    expect(checkHistory(good)).toEqual([]);
    expect(checkHistory({ ...good, calls: called(1, 2), rows: [{ ...row, recoveries: 1 }] })).toEqual([]);
    const seen = good.seen.slice(0, 2);
    expect(checkHistory({ ...good, seen, calls: called(1, 2, 4), rows: [interrupted] })).toEqual([]);
    const unanswered: History['seen'] = [{ kind: 'unanswered', tag: 'w' }];
    expect(checkHistory({ ...good, seen: unanswered })).toEqual([]);
    expect(checkHistory({ ...good, seen: unanswered, rows: [], calls: [] })).toEqual([]);
  });

  test.each<[string, Partial<History>, string]>([
    ['a request that was lost', { rows: [], calls: [] }, 'r (w) was acknowledged and is not stored'],
    [
      'a request of another',
      { rows: [{ ...row, tag: 'other' }], wishes: [wish, { ...wish, tag: 'other' }], calls: [] },
      'r was acknowledged for w and is stored as other',
    ],
    ['a request that nobody knows of', { seen: [] }, 'r (w) is stored and nobody was told or left in doubt'],
    [
      'a reader who was sent away',
      { seen: [...good.seen, { kind: 'missing', requestId: 'r', code: 'request-not-found' }] },
      'r was acknowledged and a reader was told request-not-found',
    ],
    [
      'a key with two ids',
      { seen: [...good.seen, { kind: 'accepted', tag: 'w', requestId: 's' }], rows: [row, { ...row, requestId: 's' }] },
      'w got 2 ids',
    ],
    [
      'a key with two requests',
      { seen: [...good.seen, { kind: 'unanswered', tag: 'w' }], rows: [row, { ...row, requestId: 's' }] },
      'the key of w stands for 2 requests',
    ],
    [
      'an end that is another one later',
      { seen: [...good.seen, { kind: 'read', requestId: 'r', standing: 'failed timeout' }] },
      'r is succeeded yes and a caller was told failed timeout',
    ],
    [
      'a cancellation that was none',
      { seen: [...good.seen, { kind: 'cancelled', requestId: 'r' }] },
      'r is succeeded yes and a caller was told cancelled cancelled',
    ],
    [
      'a request that never ends',
      { rows: [{ ...row, standing: 'queued', settlements: 0 }], seen: good.seen.slice(0, 2) },
      'r is queued still',
    ],
    ['two ends', { rows: [{ ...row, settlements: 2 }] }, 'r has 2 settlements'],
    [
      'a call that nobody died for',
      { calls: called(1, 1), rows: [{ ...row, recoveries: 1 }] },
      'w was sent again in life 1, in which nobody had died',
    ],
    ['a call too many', { calls: called(1, 2) }, 'w was sent 2 times, 1 are accounted for'],
    [
      'a call for what is not stored',
      { seen: [{ kind: 'unanswered', tag: 'w' }], rows: [] },
      'w was sent 1 times, 0 are accounted for',
    ],
    [
      'a fourth run',
      { calls: called(1, 2, 3, 4), rows: [interrupted], seen: good.seen.slice(0, 2) },
      'w was sent 4 times, 3 are accounted for',
    ],
    [
      'a second run of what may be run once',
      { wishes: [{ ...wish, recovery: 'atMostOnce' }], calls: called(1, 2) },
      'w was sent 2 times, 1 are accounted for',
    ],
    [
      'three deaths and an answer',
      { rows: [{ ...row, recoveries: 3 }] },
      'r was recovered 3 times and is succeeded yes',
    ],
    [
      'an interruption too early',
      { rows: [{ ...interrupted, recoveries: 2 }], seen: good.seen.slice(0, 2) },
      'r was recovered 2 times and is failed interrupted',
    ],
    ['poison that was answered', { wishes: [{ ...wish, isPoison: true }] }, 'r is never answered and is succeeded yes'],
  ])('finds %s', (_, change, sentence) => {
    expect(checkHistory({ ...good, ...change })).toContain(sentence);
  });

  test('takes the first call of each life that is not the first of its request for the recovery', () => {
    const calls = [
      { tag: 'a', life: 1, afterMs: 5 },
      { tag: 'b', life: 2, afterMs: 300 },
      { tag: 'a', life: 2, afterMs: 400 },
      { tag: 'b', life: 3, afterMs: 200 },
      { tag: 'a', life: 3, afterMs: 900 },
    ];
    expect(recoveryTimes({ calls })).toEqual([200, 400]);
  });
});
