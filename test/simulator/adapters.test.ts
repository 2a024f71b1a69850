/** The simulator's faults as our own adapters read them: each must come out as the class that the failure table names. */
import { describe, expect, test } from 'vitest';
import { createAnthropicAdapter } from '../../src/adapters/anthropic/anthropic.ts';
import { createOpenaiAdapter } from '../../src/adapters/openai/openai.ts';
import type { FailureKind } from '../../src/contract/failures.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { createCall, createProviderConfig, rejectionOf, tryStream } from '../support/adapter-calls.ts';
import { startSimulator } from './support.ts';

/** `unfinished`: the stream ends without an error and without a finish, which the runtime calls broken. */
type Streamed = FailureKind | 'answered' | 'unfinished';

const rows: readonly (readonly [model: string, whole: FailureKind | 'answered', streamed: Streamed])[] = [
  ['fail-400', 'invalid-request', 'invalid-request'],
  ['fail-401', 'unauthorized', 'unauthorized'],
  ['fail-402', 'quota-exhausted', 'quota-exhausted'],
  ['fail-403', 'model-not-found', 'model-not-found'],
  ['fail-404', 'model-not-found', 'model-not-found'],
  ['fail-408', 'upstream-error', 'upstream-error'],
  ['fail-413', 'context-too-long', 'context-too-long'],
  ['fail-429-2', 'rate-limited', 'rate-limited'],
  ['fail-500', 'upstream-error', 'upstream-error'],
  ['fail-503', 'upstream-error', 'upstream-error'],
  ['fail-529', 'overloaded', 'overloaded'],
  ['quota', 'quota-exhausted', 'quota-exhausted'],
  ['context', 'context-too-long', 'context-too-long'],
  ['policy', 'content-filtered', 'content-filtered'],
  ['reset', 'connection', 'connection'],
  ['cut-5', 'broken', 'broken'],
  ['end-5', 'broken', 'unfinished'],
  ['bad-json-10', 'broken', 'broken'],
  ['no-done-end', 'answered', 'answered'],
  ['no-usage', 'answered', 'answered'],
  ['error-stream-5', 'upstream-error', 'upstream-error'],
  ['overloaded-stream', 'overloaded', 'overloaded'],
  ['rate-limit-stream-3', 'rate-limited', 'rate-limited'],
  ['error-body', 'false-success', 'false-success'],
  ['html', 'false-success', 'false-success'],
  ['empty-body', 'false-success', 'false-success'],
  ['wrong-type', 'false-success', 'false-success'],
  ['json-for-stream', 'answered', 'false-success'],
  ['redirect', 'false-success', 'false-success'],
  ['filtered', 'answered', 'answered'],
  ['split', 'answered', 'answered'],
  ['pings-20', 'answered', 'answered'],
];

describe.each([
  ['openai', createOpenaiAdapter, '/v1'],
  ['anthropic', createAnthropicAdapter, ''],
] as const)('the %s adapter', (name, createAdapter, path) => {
  test.each(rows)('meets %s and says %s whole, %s streamed', async (model, whole, streamed) => {
    const simulator = await startSimulator();
    const config = createProviderConfig({ adapter: name, baseURL: `${simulator.url}${path}` });
    const adapter = createAdapter(config, { fetch: undefined, clock: systemClock });
    const call = createCall({
      model,
      request: { kind: 'completion', model, messages: [{ role: 'user', content: 'hi' }] },
    });
    const seenWhole = await adapter.send(call).then(
      ({ finishReason, text }) => (text.endsWith('[end]') ? 'answered' : finishReason),
      (error: unknown) => adapter.classify(error).kind,
    );
    expect(seenWhole).toBe(whole);
    const { collected, error } = await tryStream(adapter, call);
    const isFinished = collected.finishReason !== undefined;
    expect(error === undefined ? (isFinished ? 'answered' : 'unfinished') : adapter.classify(error).kind).toBe(
      streamed,
    );
    if (streamed === 'answered') expect(collected.text.endsWith('[end]')).toBe(true);
    expect(simulator.log()).toHaveLength(2);
    await adapter.close?.();
  });

  test('reads the Retry-After of fail-429-2 and shows nothing of the key that echo-key quotes', async () => {
    const simulator = await startSimulator();
    const config = createProviderConfig({ adapter: name, baseURL: `${simulator.url}${path}` });
    const adapter = createAdapter(config, { fetch: undefined, clock: systemClock });
    const failureOf = async (model: string) =>
      adapter.classify(
        await rejectionOf(
          adapter.send(
            createCall({ model, request: { kind: 'completion', model, messages: [{ role: 'user', content: 'hi' }] } }),
          ),
        ),
      );
    expect(await failureOf('fail-429-2')).toMatchObject({ kind: 'rate-limited', retryAfterMs: 2_000 });
    const { message } = await failureOf('echo-key');
    expect(message).toContain('Incorrect API key provided');
    expect(message).not.toContain('canary');
    await adapter.close?.();
  });
});
