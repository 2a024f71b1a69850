/**
 * Error answers in the vendors' own words, through the real SDKs over a real socket, up to what they do: which class, who is
 * asked next, and what becomes of breaker, gate, key and model.
 */
import { describe, expect, test } from 'vitest';
import { meet, type Refusal, type WireName } from './refusals.ts';

const openai = (message: string, code: string | null = null, type = 'invalid_request_error') => ({
  error: { message, type, param: null, code },
});
const anthropic = (message: string, type = 'invalid_request_error') => ({
  type: 'error',
  error: { type, message },
  request_id: 'req_011',
});

interface Case extends Refusal {
  readonly wire: WireName;
  readonly title: string;
  readonly does: string;
}

const RATE_LIMIT: readonly Case[] = [
  {
    title: 'requests per minute, Retry-After in seconds',
    wire: 'openai',
    status: 429,
    headers: { 'retry-after': '20' },
    body: openai('Rate limit reached for gpt-4.1 on requests per min (RPM)', 'rate_limit_exceeded', 'requests'),
    does: 'rate-limited: the next; gate held 20 s',
  },
  {
    title: 'Retry-After in milliseconds, more exact than seconds',
    wire: 'openai',
    status: 429,
    headers: { 'retry-after-ms': '11900', 'retry-after': '13' },
    body: openai('Rate limit reached', 'rate_limit_exceeded', 'tokens'),
    does: 'rate-limited: the next; gate held 12 s',
  },
  {
    title: 'an acceleration limit',
    wire: 'anthropic',
    status: 429,
    headers: { 'retry-after': '58' },
    body: anthropic(
      'This request would exceed the rate of increase of your usage. Please increase usage more gradually.',
      'rate_limit_error',
    ),
    does: 'rate-limited: the next; gate held 58 s',
  },
  {
    title: 'a quota that says when it is back',
    wire: 'openai',
    status: 429,
    headers: { 'retry-after': '34' },
    body: [
      {
        error: {
          code: 429,
          status: 'RESOURCE_EXHAUSTED',
          message: 'You exceeded your current quota. Please retry in 34s.',
        },
      },
    ],
    does: 'rate-limited: the next; gate held 34 s',
  },
];

const MONEY: readonly Case[] = [
  {
    title: 'insufficient_quota',
    wire: 'openai',
    status: 429,
    body: openai(
      'You exceeded your current quota, please check your plan and billing details.',
      'insufficient_quota',
      'insufficient_quota',
    ),
    does: 'quota-exhausted: the next; key exhausted',
  },
  {
    title: 'a credit balance, sent as a bad request',
    wire: 'anthropic',
    status: 400,
    body: anthropic('Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.'),
    does: 'quota-exhausted: the next; key exhausted',
  },
  {
    title: 'a spend limit whose end is named in words only',
    wire: 'anthropic',
    status: 400,
    body: anthropic(
      'You have reached your specified API usage limits. You will regain access on 2999-01-01 at 00:00 UTC.',
    ),
    does: 'quota-exhausted: the next; key exhausted',
  },
  {
    title: 'a spend limit that passes for a rate limit',
    wire: 'anthropic',
    status: 429,
    headers: { 'retry-after': '600' },
    body: anthropic(
      "This request would exceed your account's monthly spend limit. Please try again later.",
      'rate_limit_error',
    ),
    does: 'quota-exhausted: the next; key exhausted',
  },
  {
    title: 'payment required',
    wire: 'openai',
    status: 402,
    body: openai('Insufficient Balance', 'invalid_request_error', 'unknown_error'),
    does: 'quota-exhausted: the next; key exhausted',
  },
  {
    title: 'a 402 about this request alone (too many output tokens asked for) costs nobody the key',
    wire: 'openai',
    status: 402,
    body: openai(
      'This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, but can only afford 1234.',
      '402',
    ),
    does: 'invalid-request: the end',
  },
];

const KEYS: readonly Case[] = [
  {
    title: 'a wrong key',
    wire: 'openai',
    status: 401,
    body: openai('Incorrect API key provided', 'invalid_api_key'),
    does: 'unauthorized: the next',
  },
  {
    title: 'a wrong key',
    wire: 'anthropic',
    status: 401,
    body: anthropic('invalid x-api-key', 'authentication_error'),
    does: 'unauthorized: the next',
  },
  {
    title: 'a key without permission',
    wire: 'anthropic',
    status: 403,
    body: anthropic('Your API key does not have permission to use the specified resource.', 'permission_error'),
    does: 'unauthorized: the next',
  },
  {
    title: 'a 403 about the model, by its code',
    wire: 'openai',
    status: 403,
    body: openai('Project `proj_1` does not have access to model `gpt-4.1`', 'model_not_found'),
    does: 'model-not-found: the next; model left alone',
  },
  {
    title: 'a 403 about the model, in words only',
    wire: 'openai',
    status: 403,
    body: openai('You are not allowed to sample from this model', null, 'permission_error'),
    does: 'model-not-found: the next; model left alone',
  },
  {
    title: 'a 403 about where the model may be used',
    wire: 'anthropic',
    status: 403,
    body: anthropic('This model is not available in your country.', 'permission_error'),
    does: 'model-not-found: the next; model left alone',
  },
  {
    title: 'a 403 that is a content filter',
    wire: 'openai',
    status: 403,
    body: openai('anthropic/claude requires moderation and your input was flagged for "violence".', '403'),
    does: 'content-filtered: the end',
  },
  {
    title: 'a 403 that a firewall answers, and not the API',
    wire: 'openai',
    status: 403,
    headers: { 'content-type': 'text/html' },
    body: '<!DOCTYPE html><html><head><title>Attention Required!</title></head><body>Sorry, you have been blocked</body></html>',
    does: 'false-success: the next; breaker +1',
  },
];

const TOO_LONG: readonly Case[] = [
  {
    title: 'more tokens in one request than a minute may hold: no waiting helps, and other requests are not at fault',
    wire: 'openai',
    status: 429,
    body: openai(
      'Request too large for gpt-4.1 in organization org-1 on tokens per min (TPM): Limit 30000, Requested 45000. The input or output tokens must be reduced in order to run successfully.',
      'rate_limit_exceeded',
      'tokens',
    ),
    does: 'context-too-long: the next',
  },
  {
    title: 'a long context that the account has not booked',
    wire: 'anthropic',
    status: 429,
    body: anthropic('Extra usage is required for long context requests.', 'rate_limit_error'),
    does: 'context-too-long: the next',
  },
  {
    title: 'a body that is too large',
    wire: 'anthropic',
    status: 413,
    body: anthropic('Request exceeds the maximum allowed number of bytes.', 'request_too_large'),
    does: 'context-too-long: the next',
  },
];

const UPSTREAM: readonly Case[] = [
  {
    title: 'overload of everybody',
    wire: 'anthropic',
    status: 529,
    body: anthropic('Overloaded', 'overloaded_error'),
    does: 'overloaded: the next; breaker +1; fewer slots',
  },
  {
    title: 'a 503 with a long Retry-After and `x-should-retry: true`: the SDK is not asked',
    wire: 'openai',
    status: 503,
    headers: { 'retry-after': '40', 'x-should-retry': 'true' },
    body: openai('The service is temporarily unavailable', null, 'service_unavailable'),
    does: 'upstream-error: the next; breaker +1; gate held 40 s',
  },
  {
    title: 'an invalid request with `x-should-retry: true` is sent once',
    wire: 'openai',
    status: 422,
    headers: { 'x-should-retry': 'true' },
    body: openai('Unprocessable'),
    does: 'invalid-request: the end',
  },
];

describe.each<[string, readonly Case[]]>([
  ['rate limits', RATE_LIMIT],
  ['money', MONEY],
  ['keys', KEYS],
  ['size', TOO_LONG],
  ['the provider itself', UPSTREAM],
])('%s', (_name, cases) => {
  test.each(cases)('$wire $status, $title → $does', async ({ wire, does, ...refusal }) => {
    for (const mode of ['sync', 'stream'] as const) expect(await meet(wire, refusal, mode)).toBe(does);
  });
});

describe('the forms of Retry-After', () => {
  const rateLimit = openai('Rate limit reached', 'rate_limit_exceeded', 'requests');

  test.each<[string, () => string, number]>([
    ['whole seconds', () => '3600', 3_600],
    ['more than a minute, which SDKs ignore', () => '61', 61],
    ['a fraction', () => '12.5', 13],
    ['a date', () => new Date(Date.now() + 7_200_000).toUTCString(), 7_200],
  ])('%s', async (_name, retryAfter, expected) => {
    const refusal = { status: 429, headers: { 'retry-after': retryAfter() }, body: rateLimit };
    const seconds = Number(/held (\d+) s/.exec(await meet('openai', refusal, 'sync'))?.[1]);
    // A date has whole seconds, and a moment passes before the state is read.
    expect(seconds).toBeLessThanOrEqual(expected);
    expect(seconds).toBeGreaterThan(expected - 20);
  });

  test.each(['soon', '-5', '', '1e9', 'Tue, 99 Foo 2099 00:00:00 GMT'])(
    'what is none of them (%j) is unknown, not zero: the wait is our own',
    async (retryAfter) => {
      const seen = await meet(
        'openai',
        { status: 429, headers: { 'retry-after': retryAfter }, body: rateLimit },
        'sync',
        {
          fallbacks: 'none',
        },
      );
      expect(seen).toBe('rate-limited: the end; gate held 1 s');
    },
  );
});
