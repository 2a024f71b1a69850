/**
 * The way to the receiver: one POST for each try, signed anew, over connections that lead nowhere private unless the operator
 * permits it. A redirect is not followed, because its target was never judged. What is answered beyond the status line is read
 * only so that the connection can be used again, and dropped.
 */
import type { Clock } from '../contract/clock.ts';
import type { WebhooksConfig } from '../contract/config.ts';
import { createGuardedLookup, type Resolve } from '../network/address.ts';
import { readConnectionError } from '../network/connection-error.ts';
import { type Fetch, openConnections } from '../network/connections.ts';
import { parseRetryAfter } from '../network/retry-after.ts';
import type { Notice } from './notice.ts';
import type { TryOutcome } from './schedule.ts';
import { signNotice } from './signature.ts';

/** A longer answer costs its connection. */
const ANSWER_BYTES_MAX = 65_536;

export interface EndpointDeps {
  readonly clock: Clock;
  /** Replaces the system's name resolution. */
  readonly resolve?: Resolve | undefined;
}

export interface Endpoint {
  /** Sends once, within the limit of the config. Never rejects. */
  send(notice: Notice, signal: AbortSignal): Promise<TryOutcome>;
  /** Lets what is being sent finish and closes the connections. */
  close(): Promise<void>;
}

/** Opens the way to a receiver; nothing is connected before the first try. */
export function openEndpoint(config: WebhooksConfig, { clock, resolve }: EndpointDeps): Endpoint {
  const { url, secrets, timeoutMs, allowPrivate } = config;
  const connections = openConnections({
    connectMs: timeoutMs,
    lookup: allowPrivate ? undefined : createGuardedLookup({ resolve, permitsLocalhost: false }),
  });
  const { origin } = new URL(url);
  return {
    send: async (notice, signal) => {
      const limit = new AbortController();
      const timer = clock.setTimeout(() => {
        limit.abort();
      }, timeoutMs);
      try {
        const request = createRequest(notice, signNotice(notice, secrets, clock.wallMs()));
        return await post(connections.fetch, { url, request, signal: AbortSignal.any([signal, limit.signal]), clock });
      } catch (error) {
        if (signal.aborted) return { kind: 'abandoned' };
        const reason = limit.signal.aborted
          ? `no answer from ${origin} within ${timeoutMs} ms`
          : readConnectionError(error, origin, timeoutMs).message;
        return { kind: 'unanswered', reason };
      } finally {
        clock.clearTimeout(timer);
      }
    },
    close: () => connections.close(),
  };
}

function createRequest({ body }: Notice, signature: Readonly<Record<string, string>>): RequestInit {
  const headers = {
    ...signature,
    'content-type': 'application/json',
    'user-agent': 'switchgear',
    accept: '*/*',
    'accept-encoding': 'identity',
  };
  return { method: 'POST', body, headers, redirect: 'manual' };
}

interface Post {
  readonly url: string;
  readonly request: RequestInit;
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

async function post(fetch: Fetch, { url, request, signal, clock }: Post): Promise<TryOutcome> {
  const response = await fetch(url, { ...request, signal });
  const { status, headers } = response;
  const retryAfterMs = parseRetryAfter(headers, clock.wallMs());
  await drop(response);
  return { kind: 'answered', status, retryAfterMs };
}

/** The status has been told; nothing that happens to the body changes what it means. */
async function drop(response: Response): Promise<void> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  try {
    for (let bytes = 0; bytes <= ANSWER_BYTES_MAX;) {
      const { done, value } = await reader.read();
      if (done) return;
      bytes += value.byteLength;
    }
    await reader.cancel();
  } catch {
    // The connection broke, or the time was over.
  }
}
