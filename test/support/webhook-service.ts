/** Configs, requests and receivers for tests of a service that tells receivers what has ended. */
import OpenAI from 'openai';
import { expect } from 'vitest';
import type { SwitchgearConfig, WebhooksInput } from '../../src/config/input.ts';
import type { Clock } from '../../src/contract/clock.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import type { UpstreamServer } from '../contracts/upstream.ts';

/** Must never be seen: the secrets, and the token that many receivers have in their URL. */
export const SECRET = `whsec_${Buffer.from('canary-canary-canary-canary').toString('base64')}`;
export const OTHER_SECRET = `whsec_${Buffer.from('canary-number-two-canary-').toString('base64')}`;
export const TOKEN = 'T0KENcanary';
export const PROMPT = 'canary-prompt-of-the-caller';

/** The machine's clock; waits that are drawn are next to nothing. */
export const eagerClock: Clock = { ...systemClock, random: () => 0.000_1 };

/** Changed in place by tests that reload. */
export type Config = { -readonly [Key in keyof SwitchgearConfig]: SwitchgearConfig[Key] };

export const configWith = (webhooks: WebhooksInput | undefined): Config => ({
  providers: {
    mock: {
      adapter: 'mock',
      models: ['m'],
      options: {
        rules: [
          { match: 'fail', step: { failure: { kind: 'invalid-request', message: 'no such thing' } } },
          { match: 'hang', step: { hang: true } },
        ],
      },
    },
  },
  ...(webhooks !== undefined && { webhooks }),
});

export const webhooksAt = (url: string, changes: Partial<WebhooksInput> = {}): WebhooksInput => ({
  url: `${url}/hooks/${TOKEN}`,
  secret: SECRET,
  allowPrivate: true,
  ...changes,
});

export const ask = (content: string) => ({ model: 'm', messages: [{ role: 'user' as const, content }] });

/** The notices that arrived, each verified with an implementation that is not ours. */
export async function noticesOf(server: UpstreamServer, secret = SECRET): Promise<readonly unknown[]> {
  const { webhooks } = new OpenAI({ apiKey: 'unused' });
  return Promise.all(
    server.received.map(async ({ body, headers }) => {
      const sent = new Headers(Object.entries(headers).map(([name, value]) => [name, String(value)]));
      return webhooks.unwrap(body, sent, secret);
    }),
  );
}

export async function arrived(server: UpstreamServer, count = 1): Promise<void> {
  await expect.poll(() => server.received.length, { timeout: 10_000, interval: 5 }).toBeGreaterThanOrEqual(count);
}

export async function isTold(told: readonly string[], text: string): Promise<void> {
  await expect.poll(() => told.some((line) => line.includes(text)), { timeout: 10_000, interval: 5 }).toBe(true);
}
