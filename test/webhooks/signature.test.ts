import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import { signNotice } from '../../src/webhooks/signature.ts';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const OTHER = `whsec_${Buffer.alloc(64, 7).toString('base64')}`;
const notice = { id: 'msg_req_1', body: '{"type":"request.succeeded","words":"Über allen Gipfeln 🌲"}' };

const openai = new OpenAI({ apiKey: 'unused' });
const anthropic = new Anthropic({ apiKey: 'unused' });

/** Two implementations that are not ours: the SDKs verify the webhooks of their vendors with them. */
const verifiers = [
  {
    name: 'the OpenAI SDK',
    verify: (body: string, headers: Record<string, string>, secret: string) =>
      openai.webhooks.verifySignature(body, headers, secret),
  },
  {
    name: 'the Anthropic SDK',
    verify: async (body: string, headers: Record<string, string>, secret: string) =>
      anthropic.beta.webhooks.unwrap(body, { headers, key: secret }),
  },
];

test('the example of the Standard Webhooks project is signed as they sign it', () => {
  const example = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', body: '{"test": 2432232314}' };
  expect(signNotice(example, [SECRET], 1_614_265_330_999)).toEqual({
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  });
});

describe.each(verifiers)('$name', ({ verify }) => {
  test('accepts what we sign', async () => {
    await expect(verify(notice.body, signNotice(notice, [SECRET], Date.now()), SECRET)).resolves.not.toThrow();
  });

  test('accepts either secret while one replaces the other', async () => {
    const headers = signNotice(notice, [OTHER, SECRET], Date.now());
    expect(headers['webhook-signature']?.split(' ')).toHaveLength(2);
    await expect(verify(notice.body, headers, SECRET)).resolves.not.toThrow();
    await expect(verify(notice.body, headers, OTHER)).resolves.not.toThrow();
  });

  test.each<[string, (headers: Record<string, string>) => void, string]>([
    ['another body', () => undefined, `${notice.body} `],
    ['another id', (headers) => (headers['webhook-id'] = 'msg_req_2'), notice.body],
    [
      'another time',
      (headers) => (headers['webhook-timestamp'] = String(Number(headers['webhook-timestamp']) - 1)),
      notice.body,
    ],
  ])('refuses %s under the same signature', async (_what, change, body) => {
    const headers = signNotice(notice, [SECRET], Date.now());
    change(headers);
    await expect(verify(body, headers, SECRET)).rejects.toThrow(/signature/i);
  });

  test('refuses what was signed with another secret, and what was signed ten minutes ago', async () => {
    await expect(verify(notice.body, signNotice(notice, [OTHER], Date.now()), SECRET)).rejects.toThrow(/signature/i);
    const old = signNotice(notice, [SECRET], Date.now() - 600_000);
    await expect(verify(notice.body, old, SECRET)).rejects.toThrow(/old/i);
  });
});
