/** Submit and poll over real sockets. */
import { describe, expect, test } from 'vitest';
import { SwitchgearError } from '../../src/contract/errors.ts';
import { startEdge } from '../support/http-edge.ts';
import { createResponse } from '../support/http-service.ts';

const body = { model: 'smart', messages: [{ role: 'user', content: 'Hello' }] };

describe('POST /v1/requests', () => {
  test('accepts with 202, the id and where to look', async () => {
    await using edge = await startEdge();
    const response = await edge.post('/v1/requests', body, {
      'x-switchgear-priority': 'low',
      'x-switchgear-timeout-ms': '5000',
    });
    expect(response.status).toBe(202);
    expect(response.headers.get('location')).toBe('/v1/requests/req_async');
    expect(response.headers.get('x-switchgear-request-id')).toBe('req_async');
    expect(await response.json()).toEqual({ requestId: 'req_async', status: 'queued' });
    expect(edge.service.lastOptions).toEqual({ priority: 'low', timeoutMs: 5_000 });
  });

  test('with an idempotency key passes it on and tells the status of the request it belongs to', async () => {
    await using edge = await startEdge();
    edge.service.results.set('req_async', { requestId: 'req_async', status: 'succeeded', response: createResponse() });
    for (let repeat = 0; repeat < 2; repeat++) {
      const response = await edge.post('/v1/requests', body, { 'idempotency-key': 'k-1' });
      expect(response.status).toBe(202);
      expect(await response.json()).toEqual({ requestId: 'req_async', status: 'succeeded' });
      expect(edge.service.lastOptions.idempotencyKey).toBe('k-1');
    }
  });

  test('answers 409 to a known key with another body', async () => {
    await using edge = await startEdge();
    edge.service.submit = async () => {
      throw new SwitchgearError('idempotency-conflict', 'expected the same body, got: another');
    };
    const response = await edge.post('/v1/requests', body, { 'idempotency-key': 'k-1' });
    expect(response.status).toBe(409);
    expect(response.headers.get('x-should-retry')).toBe('false');
  });

  test.each([{ stream: true }, { n: 2 }, { logprobs: true }, { modalities: ['audio'] }])(
    'refuses %j, which no stored answer can hold',
    async (fields) => {
      await using edge = await startEdge();
      const response = await edge.post('/v1/requests', { ...body, ...fields });
      expect(response.status).toBe(400);
      expect((await response.json()).error.param).toBe(Object.keys(fields)[0]);
      expect(edge.service.requests).toEqual([]);
    },
  );

  test.each(['', ' ', 'a b', 'x'.repeat(256)])('refuses the idempotency key %j', async (key) => {
    await using edge = await startEdge();
    const response = await edge.post('/v1/requests', body, { 'idempotency-key': key });
    expect(response.status).toBe(400);
    expect((await response.json()).error.param).toBe('idempotency-key');
  });

  test('goes on when its client leaves', async () => {
    await using edge = await startEdge();
    const { promise: submitted, resolve: finish } = Promise.withResolvers<void>();
    const { promise: started, resolve: start } = Promise.withResolvers<void>();
    edge.service.submit = async () => {
      start();
      await submitted;
      return 'req_async';
    };
    const controller = new AbortController();
    const left = fetch(`${edge.url}/v1/requests`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: controller.signal,
    });
    await started;
    controller.abort();
    await expect(left).rejects.toMatchObject({ name: 'AbortError' });
    expect(edge.service.lastOptions.signal).toBeUndefined();
    finish();
  });
});

describe('GET /v1/requests/:id', () => {
  test('gives the status alone while there is no answer', async () => {
    await using edge = await startEdge();
    edge.service.results.set('req_1', { requestId: 'req_1', status: 'running' });
    const response = await fetch(`${edge.url}/v1/requests/req_1`);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ requestId: 'req_1', status: 'running' });
  });

  test('gives the chat completion of a request that succeeded, again and again', async () => {
    await using edge = await startEdge();
    edge.service.results.set('req_1', { requestId: 'req_1', status: 'succeeded', response: createResponse() });
    for (let repeat = 0; repeat < 2; repeat++) {
      const response = await fetch(`${edge.url}/v1/requests/req_1`);
      expect(response.headers.get('x-switchgear-provider')).toBe('first');
      expect(await response.json()).toMatchObject({
        requestId: 'req_1',
        status: 'succeeded',
        response: { object: 'chat.completion', choices: [{ message: { content: 'Hello' } }] },
      });
    }
  });

  test.each(['failed', 'cancelled'] as const)('gives 200 with the error of a request that %s', async (status) => {
    await using edge = await startEdge();
    edge.service.results.set('req_1', {
      requestId: 'req_1',
      status,
      error: new SwitchgearError('context-too-long', 'too long'),
    });
    const response = await fetch(`${edge.url}/v1/requests/req_1`);
    expect(response.status).toBe(200);
    expect(response.headers.get('x-switchgear-error')).toBe('context-too-long');
    expect(await response.json()).toEqual({
      requestId: 'req_1',
      status,
      error: { message: 'too long', type: 'invalid_request_error', param: null, code: 'context_length_exceeded' },
    });
  });

  test.each([
    ['request-not-found', 404],
    ['request-expired', 410],
  ] as const)('is %s: %i', async (code, status) => {
    await using edge = await startEdge();
    edge.service.results.set('req_1', new SwitchgearError(code, 'gone'));
    for (const method of ['GET', 'DELETE'])
      expect((await fetch(`${edge.url}/v1/requests/req_1`, { method })).status).toBe(status);
  });

  test.each([
    ['', undefined, 0],
    ['?wait=30', undefined, 30_000],
    ['?wait=0', undefined, 0],
    ['?wait=0.25', undefined, 250],
    ['?wait=61', undefined, 60_000],
    ['?wait=999999999', undefined, 60_000],
    ['?wait=-1', 'wait', 0],
    ['?wait=soon', 'wait', 0],
    ['?wait=', 'wait', 0],
    ['?wait=1&wait=2', 'wait', 0],
    ['?wait=1e3', 'wait', 0],
    ['?wait=NaN', 'wait', 0],
    ['?wiat=3', 'wiat', 0],
  ])('with %j waits, or refuses', async (query, param, waitMs) => {
    await using edge = await startEdge();
    edge.service.results.set('req_1', { requestId: 'req_1', status: 'queued' });
    const waits: unknown[] = [];
    edge.service.wait = async (_id, options) => void waits.push(options.waitMs);
    const response = await fetch(`${edge.url}/v1/requests/req_1${query}`);
    expect({ status: response.status, waits, param: (await response.json()).error?.param }).toEqual(
      param === undefined ? { status: 200, waits: [waitMs], param: undefined } : { status: 400, waits: [], param },
    );
  });

  test('stops waiting when its client leaves', async () => {
    await using edge = await startEdge();
    const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();
    const { promise: started, resolve: start } = Promise.withResolvers<void>();
    edge.service.wait = (_id, { signal }) => {
      start();
      signal?.addEventListener('abort', () => stop());
      return stopped;
    };
    edge.service.results.set('req_1', { requestId: 'req_1', status: 'running' });
    const controller = new AbortController();
    const left = fetch(`${edge.url}/v1/requests/req_1?wait=60`, { signal: controller.signal });
    await started;
    controller.abort();
    await expect(left).rejects.toMatchObject({ name: 'AbortError' });
    await stopped;
    expect(edge.service.cancellations).toBe(0);
  });

  test('of an id that is too long to be one is 404', async () => {
    await using edge = await startEdge();
    expect((await fetch(`${edge.url}/v1/requests/${'x'.repeat(257)}`)).status).toBe(404);
  });
});

describe('DELETE /v1/requests/:id', () => {
  test('cancels what was not settled, and only tells the status of what was', async () => {
    await using edge = await startEdge();
    edge.service.results.set('req_1', { requestId: 'req_1', status: 'running' });
    edge.service.results.set('req_2', { requestId: 'req_2', status: 'succeeded', response: createResponse() });
    const remove = async (id: string) => (await fetch(`${edge.url}/v1/requests/${id}`, { method: 'DELETE' })).json();
    expect(await remove('req_1')).toEqual({ requestId: 'req_1', status: 'cancelled' });
    expect(await remove('req_2')).toEqual({ requestId: 'req_2', status: 'succeeded' });
    expect(edge.service.cancellations).toBe(1);
  });
});
