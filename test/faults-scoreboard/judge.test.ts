import { describe, expect, test } from 'vitest';
import { CATALOGUE } from '../../bench/faults/catalogue.ts';
import type { FaultDelivery } from '../../bench/faults/fault.ts';
import { type History, MODELS, USAGE, wholeText } from '../../bench/faults/history.ts';
import { judge, type Verdict } from '../../bench/faults/judge.ts';
import { answered, failed, findFault, goodOf, part, refused, served, withFirst } from './histories.ts';

const judgeAs = (id: string, history: History, delivery: FaultDelivery = 'whole', hasFallback = true) =>
  judge(findFault(id), history, { delivery, hasFallback });

describe.each(CATALOGUE.map(({ id, deliveries }) => ({ id, deliveries })))('$id', ({ id, deliveries }) => {
  test.each(deliveries)('passes when it is lived through as written, delivered %s', (delivery) => {
    expect(judgeAs(id, goodOf(id), delivery).verdict).toBe('pass');
  });

  test.each(deliveries)('fails when a request never ends, delivered %s', (delivery) => {
    const hung = withFirst(goodOf(id), { end: 'hung', text: '' });
    expect(judgeAs(id, hung, delivery)).toMatchObject({
      verdict: 'fail',
      reason: expect.stringContaining('no end within'),
    });
  });

  test.each(deliveries)('fails when a truncated answer passes for a whole one, delivered %s', (delivery) => {
    const truncated = withFirst(goodOf(id), { end: 'answered', text: part('primary', 40) });
    expect(judgeAs(id, truncated, delivery)).toMatchObject({
      verdict: 'fail',
      reason: expect.stringContaining('a truncated answer passed for a whole one (40 of 60 words)'),
    });
  });

  test.each(deliveries)('fails when an empty answer passes for one, delivered %s', (delivery) => {
    const empty = withFirst(goodOf(id), { end: 'answered', text: '' });
    expect(judgeAs(id, empty, delivery)).toMatchObject({
      verdict: 'fail',
      reason: expect.stringContaining('(0 of 60 words)'),
    });
  });

  test.each(deliveries)('fails when a second answer is glued to the first, delivered %s', (delivery) => {
    const glued = withFirst(goodOf(id), { end: 'answered', text: part('primary', 40) + wholeText('fallback') });
    expect(judgeAs(id, glued, delivery)).toMatchObject({
      verdict: 'fail',
      reason: expect.stringContaining("no provider's answer"),
    });
  });
});

const S01 = goodOf('S01');
const S13 = goodOf('S13');
const S15 = goodOf('S15');
const S16 = goodOf('S16');
const NO_BILL = { usdNanos: 0, outputTokens: 0 };
const ANSWER_BILL = { usdNanos: 1, outputTokens: USAGE.output };
const LATE = { askedAtMs: 0, endedAtMs: 1_000 };

const BAD: readonly (readonly [string, string, History, Verdict, string])[] = [
  [
    'S01',
    'a retry before its time',
    { ...S01, primary: [...refused(0), served(1_700)] },
    'partial',
    'retried after 1.7',
  ],
  ['S01', 'no retry but a failover', { ...goodOf('S02'), primary: refused(0) }, 'partial', 'not retried'],
  [
    'S01',
    'three attempts at once',
    { ...S01, primary: [...refused(0, 100), served(1_499)] },
    'fail',
    '3 attempts at the primary in 1.5 s',
  ],
  ['S02', 'five attempts in 3 s', { ...goodOf('S02'), primary: refused(0, 1, 2, 3, 2_999) }, 'fail', '5 attempts'],
  [
    'S02',
    'seven attempts in all',
    { ...goodOf('S02'), primary: refused(0, 2_000, 4_000, 6_000, 8_000, 10_000, 12_000) },
    'fail',
    '7 attempts at the primary, at most 6',
  ],
  ['S02', 'an error where the fallback could answer', withFailure('S02'), 'partial', 'no answer but a clean error'],
  ['S03', 'no retry but a failover', { ...goodOf('S04'), primary: refused(0) }, 'partial', 'not retried'],
  ['S04', 'seven attempts', { ...goodOf('S04'), primary: refused(0, 1, 2, 3, 4, 5, 6) }, 'fail', '7 attempts'],
  ['S05', 'an error', withFailure('S05'), 'partial', 'no answer but a clean error: the sky fell'],
  ['S06', 'a second wait for silence', { ...goodOf('S06'), primary: refused(0, 12_000) }, 'partial', '2 attempts'],
  ['S06', 'an answer of the silent provider', byPrimaryAfter(99_000), 'partial', 'not answered by the fallback'],
  ['S06', 'an answer after 101 s', withFirst(goodOf('S06'), { endedAtMs: 101_000 }), 'fail', 'took 101.0 s'],
  ['S07', 'an answer after 15.1 s', withFirst(goodOf('S07'), { endedAtMs: 15_100 }), 'partial', 'took 15.1 s'],
  ['S07', 'an answer of the slow provider', byPrimaryAfter(14_000), 'partial', 'not answered by the fallback'],
  ['S08', 'parts before the error, delivered whole', withFailure('S08', part('primary', 40)), 'fail', 'parts reached'],
  ['S09', 'an answer after 46 s', withFirst(goodOf('S09'), { endedAtMs: 46_000 }), 'fail', 'took 46.0 s'],
  ['S09', 'a next request that hangs', withNext('S09', answered('primary', { end: 'hung', text: '' })), 'fail', 'hung'],
  ['S09', 'a next request that fails', withNext('S09', failed('still stuck')), 'fail', 'still stuck'],
  [
    'S10',
    'a next request that fails',
    withNext('S10', failed('still bad')),
    'fail',
    'the next request failed: still bad',
  ],
  ['S11', 'an end after 8.1 s', withFirst(goodOf('S11'), { endedAtMs: 8_100 }), 'fail', 'took 8.1 s'],
  ['S11', 'no usage', withFirst(goodOf('S11'), { usage: undefined }), 'partial', 'no usage was told'],
  [
    'S11',
    'the usage of two attempts',
    withFirst(goodOf('S11'), { usage: { input: USAGE.input, output: 2 * USAGE.output } }),
    'partial',
    'told a usage of',
  ],
  ['S12', 'a second attempt', { ...goodOf('S12'), primary: refused(0, 500) }, 'fail', '2 attempts'],
  ['S12', 'an answer of the model that is too small', { ...goodOf('S11') }, 'fail', 'not answered by the fallback'],
  ['S12', 'an error where a larger model could answer', withFailure('S12'), 'partial', 'no answer but a clean error'],
  ['S13', 'a second attempt', { ...S13, primary: refused(0, 500) }, 'fail', '2 attempts'],
  [
    'S13',
    'another reason',
    withFirst(S13, { message: '400 Something went wrong' }),
    'partial',
    "the provider's reason did not reach the caller",
  ],
  ['S13', 'an answer of the fallback', goodOf('S12'), 'partial', 'an answer instead of the refusal'],
  ['S13', 'a fallback that was asked', { ...S13, fallback: refused(100) }, 'partial', 'the fallback was asked too'],
  [
    'S14',
    "the fallback's refusal",
    { ...withFailure('S14'), requests: [failed('400 This model does not support assistant message prefill.')] },
    'fail',
    "the fallback's refusal reached the caller",
  ],
  ['S15', 'an error in the outage', replace(S15, 3, failed('503', { ...LATE, askedAtMs: 12_000 })), 'fail', '14 of 15'],
  ['S15', 'an error afterwards', replace(S15, 22, failed('503', { ...LATE, askedAtMs: 88_000 })), 'partial', '1 of 23'],
  ['S15', 'a primary that is never used again', { ...S15, primary: refused(0, 300) }, 'fail', 'not used again'],
  [
    'S15',
    'a return that comes to nothing, and a late one',
    { ...S15, primary: [...refused(0, 61_000), served(91_000)] },
    'fail',
    'used again after 31.0 s',
  ],
  ['S15', 'a late return', { ...S15, primary: [...refused(0), served(90_100)] }, 'fail', 'used again after 30.1 s'],
  [
    'S15',
    'an attempt for every request and one more',
    { ...S15, primary: [...refused(...Array.from({ length: 16 }, (_at, index) => index * 3_000)), served(60_000)] },
    'partial',
    '16 attempts at the primary for 15 requests',
  ],
  ['S16', "the primary's name", withFirst(S16, { model: MODELS.primary }), 'fail', `names ${MODELS.primary}`],
  ['S16', 'no name', withFirst(S16, { model: undefined }), 'fail', 'names no model'],
  ['S16', 'no usage', withFirst(S16, { usage: undefined }), 'partial', 'no usage was told'],
  [
    'S16',
    'a bill for failed attempts',
    { ...S16, bills: { primary: { usdNanos: 1, outputTokens: 0 }, fallback: ANSWER_BILL } },
    'fail',
    'failed attempts were billed',
  ],
  [
    'S16',
    'tokens booked for failed attempts',
    { ...S16, bills: { primary: { usdNanos: 0, outputTokens: 1 }, fallback: ANSWER_BILL } },
    'fail',
    'failed attempts were billed',
  ],
  ['S16', 'no bill at all', { ...S16, bills: { primary: NO_BILL, fallback: NO_BILL } }, 'fail', 'was not billed'],
  ['S16', 'seven attempts', { ...S16, primary: refused(0, 1, 2, 3, 4, 5, 6) }, 'fail', '7 attempts'],
  [
    'S16',
    'an answer for nothing',
    { ...S16, bills: { primary: NO_BILL, fallback: { usdNanos: 0, outputTokens: USAGE.output } } },
    'fail',
    'was not billed',
  ],
  [
    'S16',
    'an answer billed twice',
    { ...S16, bills: { primary: NO_BILL, fallback: { usdNanos: 2, outputTokens: 2 * USAGE.output } } },
    'fail',
    'was not billed',
  ],
];

test.each(BAD)('%s: %s is seen', (...[id, , history, verdict, reason]) => {
  const judgement = judgeAs(id, history);
  expect(judgement.reason).toContain(reason);
  expect(judgement.verdict).toBe(verdict);
});

describe('at its bound a rule still holds', () => {
  const last = <Value>(values: readonly Value[]) => values.slice(0, -1);
  test.each<[string, string, History]>([
    ['S01', 'the second attempt after 1.8 s', { ...S01, primary: [...refused(0), served(1_800)] }],
    ['S01', 'the third after 1.5 s', { ...S01, primary: [...refused(0, 1_800), served(1_900)] }],
    ['S02', 'four attempts in 3 s and six in all', { ...goodOf('S02'), primary: refused(0, 1, 2, 3, 3_000, 3_001) }],
    ['S07', 'an answer after 15 s', withFirst(goodOf('S07'), { endedAtMs: 15_000 })],
    ['S09', 'an answer after 45 s', withFirst(goodOf('S09'), { endedAtMs: 45_000 })],
    ['S11', 'an end after 8 s', withFirst(goodOf('S11'), { endedAtMs: 8_000 })],
    ['S15', 'a return after 30 s', { ...S15, primary: [...refused(0), served(90_000)] }],
    [
      'S15',
      'an attempt for every request',
      {
        ...S15,
        primary: [...refused(...last(Array.from({ length: 16 }, (_at, index) => index * 3_000))), served(60_000)],
      },
    ],
    ['S16', 'no accounts', { ...S16, bills: undefined }],
  ])('%s: %s', (id, _what, history) => {
    expect(judgeAs(id, history)).toMatchObject({ verdict: 'pass' });
  });
});

describe('an answer that breaks off', () => {
  const broken = withFailure('S08', part('primary', 40));

  test('passes in live delivery when the caller is told so', () => {
    expect(judgeAs('S08', broken, 'live')).toEqual({ verdict: 'pass', reason: 'a clean error after 40 words' });
  });

  test('is no answer where nothing had been delivered', () => {
    expect(judgeAs('S08', withFailure('S08'), 'live').verdict).toBe('partial');
    expect(judgeAs('S08', withFailure('S08'), 'whole').verdict).toBe('partial');
    expect(judgeAs('S08', withFailure('S08'), 'unstreamed').verdict).toBe('partial');
  });

  test('is no answer where nothing can be delivered in parts', () => {
    expect(judgeAs('S08', broken, 'unstreamed').verdict).toBe('partial');
  });

  test('fails when what was delivered is of two answers', () => {
    const glued = withFailure('S08', part('primary', 40) + part('fallback', 3));
    expect(judgeAs('S08', glued, 'live')).toMatchObject({
      verdict: 'fail',
      reason: expect.stringContaining('before the error'),
    });
  });

  test('excuses no broken rule', () => {
    const late = withFirst(withNext('S09', answered('primary')), {
      end: 'failed',
      text: part('primary', 20),
      endedAtMs: 46_000,
    });
    expect(judgeAs('S09', late, 'live')).toMatchObject({ verdict: 'fail', reason: expect.stringContaining('46.0 s') });
  });
});

describe('a system without a fallback', () => {
  test('is not asked for what only a fallback could do, and gives no answer all the same', () => {
    const outage = replace(S15, 3, failed('503', { askedAtMs: 12_000 }));
    expect(judgeAs('S15', outage, 'unstreamed', false)).toMatchObject({
      verdict: 'partial',
      reason: expect.stringContaining('1 of 23 requests: no answer but a clean error: 503'),
    });
    expect(judgeAs('S02', withFailure('S02'), 'unstreamed', false).verdict).toBe('partial');
  });

  test('keeps to every other rule', () => {
    const hammering = { ...S01, primary: [...refused(0, 1, 2), served(2_000)] };
    expect(judgeAs('S01', hammering, 'unstreamed', false).verdict).toBe('fail');
  });
});

test('the reason of a pass tells what came of it', () => {
  expect(judgeAs('S03', goodOf('S03')).reason).toBe('answered by the primary');
  expect(judgeAs('S04', goodOf('S04')).reason).toBe('answered by the fallback');
  expect(judgeAs('S13', S13).reason).toBe('refused');
  expect(judgeAs('S15', S15).reason).toBe(
    '23 requests answered, 8 attempts at the primary while it was down, used again 12.0 s after',
  );
});

test('a long error is quoted in one line and cut', () => {
  const { reason } = judgeAs('S05', { ...goodOf('S05'), requests: [failed(`one\n  two ${'x'.repeat(500)}`)] });
  expect(reason).toContain('one two xxx');
  expect(reason.length).toBeLessThan(200);
});

function withFailure(id: string, text = ''): History {
  const [, ...rest] = goodOf(id).requests;
  return { ...goodOf(id), requests: [failed('the sky fell', { text }), ...rest] };
}

function withNext(id: string, next: History['requests'][number]): History {
  return replace(goodOf(id), 1, next);
}

function replace(history: History, index: number, request: History['requests'][number]): History {
  return { ...history, requests: history.requests.with(index, request) };
}

function byPrimaryAfter(endedAtMs: number): History {
  return { requests: [answered('primary', { endedAtMs })], primary: [served(0)], fallback: [] };
}
