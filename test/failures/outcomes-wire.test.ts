/**
 * The outcome table, row by row, as it arrives: a misbehaving upstream, a real socket, the vendors' SDKs, a whole service.
 * Each row says what the first of two providers was asked, in which class it failed, who answered, and what became of it.
 */
import { describe, expect, test } from 'vitest';
import { startService } from '../../src/compose.ts';
import type { Events } from '../../src/contract/events.ts';
import type { CompletionResponse } from '../../src/contract/response.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { createSimulator } from '../../src/simulator/server.ts';
import { describeState, type Mode, type WireName } from './refusals.ts';

/** Long, because the machine has other things to do, but for the faults that are about them. */
const PATIENT = { connectMs: 15_000, firstTokenMs: 15_000, stallMs: 15_000, unstreamedMs: 15_000 };
const SHORT_MS = 600;
const IMPATIENT: Readonly<Record<string, Partial<typeof PATIENT>>> = {
  hang: { firstTokenMs: SHORT_MS, unstreamedMs: SHORT_MS },
  'slow-60000': { firstTokenMs: SHORT_MS, unstreamedMs: SHORT_MS },
  'stall-5': { stallMs: SHORT_MS, unstreamedMs: SHORT_MS },
};
const RETRY = { maxRetries: 1, baseMs: 1, factor: 1, capMs: 1 };

interface Row {
  readonly fault: string;
  /** What an unstreamed call meets, and what a streamed one meets where that differs. */
  readonly whole: string;
  readonly streamed?: string | Readonly<Record<WireName, string>>;
}

const SUCCESS: readonly Row[] = [
  { fault: 'filtered', whole: 'answered by a (content-filter)' },
  { fault: 'no-usage', whole: 'answered by a (stop)' },
  { fault: 'no-done', whole: 'answered by a (stop)' },
  { fault: 'no-done-end', whole: 'answered by a (stop)' },
  { fault: 'late-end-5000', whole: 'answered by a (stop)' },
  { fault: 'split', whole: 'answered by a (stop)' },
];

const twice = (kind: string, rest = '') => `${kind}, ${kind}; answered by b (stop); breaker +2${rest}`;
const once = (kind: string) => `${kind}; answered by b (stop); breaker +1`;

const RETRIED: readonly Row[] = [
  { fault: 'reset', whole: twice('connection') },
  ...[408, 500, 502, 503, 504].map((status) => ({ fault: `fail-${status}`, whole: twice('upstream-error') })),
  { fault: 'fail-529', whole: twice('overloaded', '; fewer slots') },
  { fault: 'html-502', whole: twice('upstream-error') },
  { fault: 'error-stream-0', whole: twice('upstream-error') },
  { fault: 'error-stream-5', whole: twice('upstream-error') },
  { fault: 'overloaded-stream-5', whole: twice('overloaded', '; fewer slots') },
];

const NOT_RETRIED: readonly Row[] = [
  { fault: 'hang', whole: once('silent') },
  { fault: 'slow-60000', whole: once('silent') },
  { fault: 'cut-5', whole: once('broken') },
  { fault: 'end-5', whole: once('broken') },
  { fault: 'stall-5', whole: once('silent'), streamed: once('broken') },
  { fault: 'bad-json-5', whole: once('broken') },
  { fault: 'gzip-cut', whole: once('broken') },
  { fault: 'no-finish', whole: once('false-success'), streamed: once('broken') },
  { fault: 'error-body', whole: once('false-success') },
  { fault: 'html', whole: once('false-success') },
  // OpenAI's has no choice to finish, Anthropic's finishes without a word.
  {
    fault: 'empty',
    whole: once('false-success'),
    streamed: { openai: once('broken'), anthropic: once('false-success') },
  },
  { fault: 'empty-body', whole: once('false-success') },
  { fault: 'wrong-type', whole: once('false-success') },
  { fault: 'json-for-stream', whole: 'answered by a (stop)', streamed: once('false-success') },
  ...[301, 307].map((status) => ({ fault: `redirect-${status}`, whole: once('false-success') })),
];

const NEUTRAL: readonly Row[] = [
  { fault: 'fail-429-3600', whole: 'rate-limited; answered by b (stop); gate held 3600 s' },
  { fault: 'rate-limit-stream-5', whole: 'rate-limited, rate-limited; answered by b (stop); gate held' },
  { fault: 'fail-402', whole: 'quota-exhausted; answered by b (stop); key exhausted' },
  { fault: 'quota', whole: 'quota-exhausted; answered by b (stop); key exhausted' },
  { fault: 'fail-401', whole: 'unauthorized; answered by b (stop)' },
  { fault: 'fail-403', whole: 'model-not-found; answered by b (stop); model left alone' },
  { fault: 'fail-404', whole: 'model-not-found; answered by b (stop); model left alone' },
  { fault: 'context', whole: 'context-too-long; answered by b (stop)' },
  { fault: 'fail-413', whole: 'context-too-long; answered by b (stop)' },
  { fault: 'policy', whole: 'content-filtered; error content-filtered' },
  ...[400, 405, 409, 415, 422].map((status) => ({
    fault: `fail-${status}`,
    whole: 'invalid-request; error invalid-request',
  })),
];

/** Sends one request and puts into one line what came of it. */
async function meet(wire: WireName, fault: string, mode: Mode): Promise<string> {
  await using resources = new AsyncDisposableStack();
  const simulator = resources.adopt(await createSimulator({ clock: systemClock }), (started) => started.close());
  const provider = (models: readonly string[], timeouts = {}) => ({
    adapter: wire,
    apiKey: 'sk-canary-of-the-table',
    baseURL: wire === 'openai' ? `${simulator.url}/v1` : simulator.url,
    models,
    retry: RETRY,
    timeouts: { ...PATIENT, ...timeouts },
    health: { intervalMs: 86_400_000 },
  });
  const providers = { a: provider([fault], IMPATIENT[fault]), b: provider(['healthy']) };
  const models = { smart: [`a/${fault}`, 'b/healthy'] };
  const service = resources.adopt(await startService({ providers, models }), (started) => started.stop({ graceMs: 0 }));
  const failed: Events['attempt.failed'][] = [];
  service.on('attempt.failed', (event) => failed.push(event));
  const request = { model: 'smart', messages: [{ role: 'user' as const, content: 'one two three' }] };
  const asked =
    mode === 'sync' ? service.completion(request) : service.completionStream(request, { delivery: 'whole' }).response;
  const ended = await asked.then(describeAnswer, (error: { code: string }) => `error ${error.code}`);
  const sent = simulator.log().filter(({ model }) => model === fault).length;
  const hasAnswered = ended.startsWith('answered by a');
  expect(sent).toBe(failed.length + (hasAnswered ? 1 : 0));
  const kinds = failed.map(({ kind }) => kind).join(', ');
  return [...(kinds === '' ? [] : [kinds]), ended, ...describeState(service)].join('; ');
}

function describeAnswer({ provider, text, finishReason }: CompletionResponse): string {
  return text.endsWith('[end]') ? `answered by ${provider} (${finishReason})` : `truncated by ${provider}`;
}

/** The wait after a 429 without Retry-After is drawn; that there is one is what counts. */
const withoutDrawn = (seen: string, expected: string) =>
  expected.endsWith('gate held') ? seen.replace(/gate held \d+ s/, 'gate held') : seen;

// They wait more than they compute: several at once.
describe.concurrent.each(['openai', 'anthropic'] as const)('on the %s wire', (wire) => {
  describe.each<[string, readonly Row[]]>([
    ['a success', SUCCESS],
    ['a failure that is retried here', RETRIED],
    ['a failure that is not retried here', NOT_RETRIED],
    ['an outcome that says nothing against the provider', NEUTRAL],
  ])('%s', (_name, rows) => {
    test.each(rows)('$fault → $whole', async ({ fault, whole, streamed = whole }) => {
      const [seenWhole, seenStreamed] = await Promise.all([meet(wire, fault, 'sync'), meet(wire, fault, 'stream')]);
      expect(withoutDrawn(seenWhole, whole)).toBe(whole);
      const expected = typeof streamed === 'string' ? streamed : streamed[wire];
      expect(withoutDrawn(seenStreamed, expected)).toBe(expected);
    });
  });
});
