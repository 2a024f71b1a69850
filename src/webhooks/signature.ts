/**
 * Signs notices as Standard Webhooks 1.0.0 says: HMAC-SHA256 over id, time of the try and body, one signature for each secret,
 * so that a secret can be replaced while receivers know either.
 */
import { createHmac } from 'node:crypto';
import type { Notice } from './notice.ts';

const SECRET_PREFIX = 'whsec_';

/** The three headers of one try at `wallMs`. */
export function signNotice(notice: Notice, secrets: readonly string[], wallMs: number): Record<string, string> {
  const timestamp = String(Math.floor(wallMs / 1_000));
  const content = `${notice.id}.${timestamp}.${notice.body}`;
  return {
    'webhook-id': notice.id,
    'webhook-timestamp': timestamp,
    'webhook-signature': secrets.map((secret) => `v1,${sign(content, secret)}`).join(' '),
  };
}

function sign(content: string, secret: string): string {
  const key = Buffer.from(secret.slice(SECRET_PREFIX.length), 'base64');
  return createHmac('sha256', key).update(content).digest('base64');
}
