/** The classes of error answers, one row per wording that providers use. */
import { describe, expect, test } from 'vitest';
import { readErrorReport } from '../../src/adapters/classify.ts';
import { judgeUpstream } from '../../src/adapters/judge.ts';
import { createScrub } from '../../src/adapters/scrub.ts';
import type { FailureKind } from '../../src/contract/failures.ts';

const error = (message: string, code?: string | null, type?: string): unknown => ({ error: { message, code, type } });

function judge(status: number | undefined, body: unknown, hasRetryAfter = false): FailureKind {
  const report = readErrorReport(body);
  return judgeUpstream({ ...report, status: status ?? report.status, isInStream: status === undefined, hasRetryAfter })
    .kind;
}

describe('by status', () => {
  test.each<[number, FailureKind]>([
    [400, 'invalid-request'],
    [401, 'unauthorized'],
    [402, 'quota-exhausted'],
    [403, 'unauthorized'],
    [404, 'model-not-found'],
    [405, 'invalid-request'],
    [408, 'upstream-error'],
    [409, 'invalid-request'],
    [413, 'context-too-long'],
    [415, 'invalid-request'],
    [418, 'invalid-request'],
    [422, 'invalid-request'],
    [429, 'rate-limited'],
    [499, 'invalid-request'],
    [500, 'upstream-error'],
    [501, 'upstream-error'],
    [502, 'upstream-error'],
    [503, 'upstream-error'],
    [504, 'upstream-error'],
    [520, 'upstream-error'],
    [524, 'upstream-error'],
    [529, 'overloaded'],
    [599, 'upstream-error'],
  ])('%i without words is %s', (status, kind) => {
    for (const body of [undefined, '', null, {}, [], { error: null }, { error: {} }])
      expect(judge(status, body)).toBe(kind);
  });
});

describe('a 429', () => {
  test.each<[string, unknown, boolean, FailureKind]>([
    [
      'insufficient_quota, even with a Retry-After',
      error(
        'You exceeded your current quota, please check your plan and billing details.',
        'insufficient_quota',
        'insufficient_quota',
      ),
      true,
      'quota-exhausted',
    ],
    [
      'billing_hard_limit_reached',
      error('Billing hard limit has been reached', 'billing_hard_limit_reached'),
      false,
      'quota-exhausted',
    ],
    [
      'a spend limit',
      error('You have reached your specified API usage limits: spend limit reached', null, 'rate_limit_error'),
      false,
      'quota-exhausted',
    ],
    ['credit_balance_exhausted', error('no more', 'credit_balance_exhausted'), false, 'quota-exhausted'],
    [
      'a quota that says when it is back',
      error('You exceeded your current quota. Please retry in 34s.', null),
      true,
      'rate-limited',
    ],
    [
      'a limit that advertises billing',
      error(
        'Rate limit reached. You can increase it by adding a payment method: https://x/account/billing',
        'rate_limit_exceeded',
        'requests',
      ),
      false,
      'rate-limited',
    ],
    [
      'an acceleration limit',
      error('Number of request tokens has exceeded your rate of increase', null, 'rate_limit_error'),
      true,
      'rate-limited',
    ],
    ['overload in disguise', error('Overloaded', null, 'overloaded_error'), false, 'overloaded'],
  ])('%s', (_title, body, hasRetryAfter, kind) => {
    expect(judge(429, body, hasRetryAfter)).toBe(kind);
  });
});

describe('money', () => {
  test.each<[number, unknown, FailureKind]>([
    [402, error('Insufficient Balance', 'invalid_request_error'), 'quota-exhausted'],
    [
      402,
      error(
        'This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, but can only afford 1234.',
      ),
      'invalid-request',
    ],
    [
      400,
      error('Your credit balance is too low to access the Anthropic API.', undefined, 'invalid_request_error'),
      'quota-exhausted',
    ],
    [403, error('Your team has used all available credits'), 'quota-exhausted'],
    [
      400,
      {
        type: 'error',
        error: { type: 'invalid_request_error', message: 'x', details: { error_code: 'contract_spend_limit_reached' } },
      },
      'quota-exhausted',
    ],
  ])('%i %j', (status, body, kind) => {
    expect(judge(status, body)).toBe(kind);
  });
});

describe('too long', () => {
  test.each([
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    'prompt is too long: 210000 tokens > 200000 maximum',
    'input length and `max_tokens` exceed context limit: 190000 + 64000 > 200000, decrease input length or `max_tokens` and try again',
    'prompt too long; exceeded max context length by 4 tokens',
    'Please reduce the length of the messages or completion.',
    'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).',
    'Input is too long for requested model.',
    "This endpoint's maximum context length is 200000 tokens.",
    'the request exceeds the available context size',
    'Too many tokens: max tokens must be less than or equal to 4096',
    'Prompt contains 40000 tokens, too large for model with 32768 maximum context length',
  ])('%s', (message) => {
    expect(judge(400, error(message))).toBe('context-too-long');
    expect(judge(400, { object: 'error', message, type: 'invalid_request_error', code: 400 })).toBe('context-too-long');
  });

  test('a code is enough, and a maximum of output tokens is something else', () => {
    expect(judge(400, error('', 'context_length_exceeded'))).toBe('context-too-long');
    expect(
      judge(400, error('max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens for claude-3')),
    ).toBe('invalid-request');
    expect(
      judge(
        400,
        error('max_tokens is too large: 100000. This model supports at most 16384 completion tokens', 'invalid_value'),
      ),
    ).toBe('invalid-request');
  });
});

describe('content policy', () => {
  test.each<[number, unknown]>([
    [400, error('Your request was rejected as a result of our safety system.', 'content_policy_violation')],
    [
      400,
      error(
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        'content_filter',
      ),
    ],
    [400, { error: { message: 'filtered', innererror: { code: 'ResponsibleAIPolicyViolation' } } }],
    [400, error('Output blocked by content filtering policy', undefined, 'invalid_request_error')],
    [403, error('anthropic/claude requires moderation and your input was flagged for "violence".', '403')],
    [422, error('Your input violates our usage policies')],
  ])('%i %j', (status, body) => {
    expect(judge(status, body)).toBe('content-filtered');
  });
});

describe('models', () => {
  test.each<[number, unknown]>([
    [404, error('The model `gpt-9` does not exist or you do not have access to it.', 'model_not_found')],
    [403, error('Project does not have access to model gpt-9', 'model_not_found')],
    [400, error('Model Not Exist', 'invalid_request_error')],
    [400, error('Invalid model: mistral-giant', '1500')],
    [400, error('foo/bar is not a valid model ID')],
    [400, { error: "model 'llama9' not found" }],
    [400, error('The model `llama3-70b` has been decommissioned and is no longer supported', 'model_decommissioned')],
  ])('%i %j', (status, body) => {
    expect(judge(status, body)).toBe('model-not-found');
  });

  test('a feature the model lacks is no missing model', () => {
    expect(judge(400, error('"thinking.type.enabled" is not supported for this model. Use adaptive.'))).toBe(
      'invalid-request',
    );
    expect(judge(400, error("Unsupported parameter: 'temperature' is not supported with this model."))).toBe(
      'invalid-request',
    );
  });
});

describe('an error inside a stream counts as its status', () => {
  test.each<[unknown, FailureKind]>([
    [{ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }, 'overloaded'],
    [{ type: 'error', error: { type: 'api_error', message: 'x' } }, 'upstream-error'],
    [{ type: 'error', error: { type: 'rate_limit_error', message: 'x' } }, 'rate-limited'],
    [{ type: 'error', error: { type: 'timeout_error', message: 'x' } }, 'upstream-error'],
    [{ type: 'error', error: { type: 'request_too_large', message: 'x' } }, 'context-too-long'],
    [{ message: 'x', type: 'server_error' }, 'upstream-error'],
    [{ message: 'Provider returned error', code: 429 }, 'rate-limited'],
    [{ message: 'Provider disconnected', code: 502 }, 'upstream-error'],
    [{ message: 'x', type: 'invalid_request_error', code: 'context_length_exceeded' }, 'context-too-long'],
    [{ message: 'x', code: 'rate_limit_exceeded' }, 'rate-limited'],
    [{ message: 'x', type: 'insufficient_quota' }, 'quota-exhausted'],
    ['something broke', 'upstream-error'],
    [{ message: 'a kind nobody has seen', type: 'novel_error' }, 'upstream-error'],
  ])('%j', (body, kind) => {
    expect(judge(undefined, body)).toBe(kind);
  });
});

describe('the words of an error', () => {
  test.each<[unknown, string]>([
    [{ error: { message: 'plain' } }, 'plain'],
    [{ error: 'a string' }, 'a string'],
    [[{ error: { message: 'in a list' } }], 'in a list'],
    [{ detail: 'fastapi' }, 'fastapi'],
    [{ detail: [{ loc: ['body'], msg: 'field required' }] }, 'field required'],
    [{ object: 'error', message: { detail: [{ msg: 'extra_forbidden' }] } }, 'extra_forbidden'],
    [{ error: { message: 'Provider returned error', metadata: { raw: 'prompt is too long' } } }, 'prompt is too long'],
    [
      '<html><head><title>502 Bad Gateway</title><style>x{}</style></head><body>nginx</body></html>',
      '502 Bad Gateway nginx',
    ],
  ])('%j', (body, words) => {
    expect(readErrorReport(body).message).toContain(words);
  });

  test.each([
    'a',
    '<',
    '<script',
    '<style>',
    'http://',
    'bearer ',
    'model `',
    'input token count ',
    'blocked by ',
    'violates ',
    'api-',
    'key',
    'sk-',
    'secret\t\t',
    'used all x ',
    ' ',
  ])('64 kB of %j are judged without holding up the process', (piece) => {
    const scrub = createScrub(() => ['hunter22']);
    const text = piece.repeat(Math.ceil(65_536 / piece.length));
    const startedAt = performance.now();
    for (const body of [
      text,
      `<${text}`,
      error(text),
      { detail: [{ msg: text }] },
      { message: 'x', metadata: { raw: text } },
    ]) {
      judge(400, body);
      judge(403, body);
      scrub(readErrorReport(body).message);
    }
    scrub(text);
    // Unbounded, the slowest of these took four seconds; the bound leaves room for a machine that has other things to do.
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  test('nested without end is read without end', () => {
    let body: unknown = { message: 'deep' };
    for (let depth = 0; depth < 10_000; depth += 1) body = { error: body };
    expect(() => readErrorReport(body)).not.toThrow();
  });
});
