/** The batch API with an unchanged `openai` client, over sockets, in front of a whole service. */
import OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import { inputOf, lineOf, startBatchEdge } from '../support/batch-edge.ts';
import { answer, echo, fail, hang, when } from '../support/scripted-provider.ts';
import { NOTHING_LEFT, leftoversOf } from '../support/test-runtime.ts';

describe('a batch of an openai client', () => {
  test('goes from file to results: one line for each request, in the order of the input, by its custom_id', async () => {
    await using edge = await startBatchEdge();
    edge.provider.always = when(({ number }) => echo(number % 3));
    const file = await edge.upload(inputOf(30));
    expect(file).toMatchObject({ object: 'file', purpose: 'batch', filename: 'requests.jsonl', status: 'processed' });
    expect(file.bytes).toBe(Buffer.byteLength(inputOf(30)));
    const created = await edge.openai.batches.create({
      input_file_id: file.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      metadata: { job: 'nightly' },
    });
    expect(created).toMatchObject({
      object: 'batch',
      endpoint: '/v1/chat/completions',
      input_file_id: file.id,
      completion_window: '24h',
      errors: null,
      metadata: { job: 'nightly' },
      request_counts: { total: 30 },
    });
    const batch = await edge.finish(created.id);
    expect(batch).toMatchObject({ status: 'completed', request_counts: { total: 30, completed: 30, failed: 0 } });
    expect(batch.error_file_id).toBeNull();
    expect(batch.completed_at).toBeGreaterThanOrEqual(batch.created_at);
    expect(batch.expires_at).toBe(batch.created_at + 86_400);
    expect(batch.usage).toMatchObject({ input_tokens: 300, output_tokens: 150, total_tokens: 450 });
    const lines = await edge.lines(batch.output_file_id);
    expect(lines.map((line) => line['custom_id'])).toEqual(Array.from({ length: 30 }, (_, index) => `line-${index}`));
    expect(lines[7]).toMatchObject({
      id: expect.stringMatching(/^req_/),
      response: {
        status_code: 200,
        request_id: lines[7]?.['id'],
        body: {
          object: 'chat.completion',
          model: 'm',
          choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'first: 7' } }],
          usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
        },
      },
      error: null,
    });
    expect(leftoversOf(edge.service)).toEqual(NOTHING_LEFT);
  });

  test('splits what succeeded from what did not, each with the answer that a single request would have got', async () => {
    await using edge = await startBatchEdge();
    edge.provider.always = when(({ request }) => {
      const text = JSON.stringify(request);
      if (text.includes('too long')) return fail('context-too-long', { message: 'maximum context length' });
      return text.includes('filtered') ? fail('content-filtered', { message: 'not this' }) : answer('fine');
    });
    const wrong = lineOf('wrong', 'x', { body: { model: 'm', messages: 'hello' } });
    const unknown = lineOf('unknown', 'x', { body: { model: 'nobody', messages: [{ role: 'user', content: 'x' }] } });
    const input = [
      lineOf('a', 'fine'),
      lineOf('b', 'too long'),
      wrong,
      lineOf('c', 'filtered'),
      unknown,
      lineOf('d', 'fine'),
    ];
    const batch = await edge.finish((await edge.create(input.join('\n'))).id);
    expect(batch).toMatchObject({ status: 'completed', request_counts: { total: 6, completed: 2, failed: 4 } });
    expect((await edge.lines(batch.output_file_id)).map((line) => line['custom_id'])).toEqual(['a', 'd']);
    const failed = await edge.lines(batch.error_file_id);
    expect(failed.map((line) => line['custom_id'])).toEqual(['b', 'wrong', 'c', 'unknown']);
    expect(failed).toMatchObject([
      { error: null, response: { status_code: 400, body: { error: { code: 'context_length_exceeded' } } } },
      {
        error: null,
        response: {
          status_code: 400,
          body: { error: { type: 'invalid_request_error', param: 'messages', code: 'invalid_request' } },
        },
      },
      { error: null, response: { status_code: 400, body: { error: { code: 'content_filter' } } } },
      { error: null, response: { status_code: 404, body: { error: { code: 'model_not_found', param: 'model' } } } },
    ]);
    expect(JSON.stringify(failed[1])).toContain('line 3: expected messages');
    expect(edge.provider.attempts).toHaveLength(4);
  });

  test('of embeddings gives vectors', async () => {
    await using edge = await startBatchEdge();
    const line = (customId: string, input: string | string[]) =>
      JSON.stringify({ custom_id: customId, method: 'POST', url: '/v1/embeddings', body: { model: 'm', input } });
    const created = await edge.create(`${line('a', 'four')}\n${line('b', ['x', 'yz'])}`, '/v1/embeddings');
    const batch = await edge.finish(created.id);
    expect(batch).toMatchObject({ status: 'completed', endpoint: '/v1/embeddings' });
    expect(await edge.lines(batch.output_file_id)).toMatchObject([
      { custom_id: 'a', response: { body: { object: 'list', data: [{ embedding: [4, 1] }] } } },
      { custom_id: 'b', response: { body: { data: [{ embedding: [1, 1] }, { embedding: [2, 1] }] } } },
    ]);
  });

  test('with nothing but failures completes without an output file', async () => {
    await using edge = await startBatchEdge();
    edge.provider.always = fail('invalid-request', { message: 'no' });
    const batch = await edge.finish((await edge.create(inputOf(3))).id);
    expect(batch).toMatchObject({ status: 'completed', request_counts: { total: 3, completed: 0, failed: 3 } });
    expect(batch.output_file_id).toBeNull();
    expect(await edge.lines(batch.error_file_id)).toHaveLength(3);
  });

  test('can be read while it runs: counts, and what has ended so far', async () => {
    await using edge = await startBatchEdge({ concurrency: 2 });
    edge.provider.plan(answer('one'), answer('two'));
    edge.provider.always = hang();
    const { id } = await edge.create(inputOf(6));
    await expect.poll(async () => (await edge.openai.batches.retrieve(id)).request_counts?.completed).toBe(2);
    const batch = await edge.openai.batches.retrieve(id);
    expect(batch).toMatchObject({
      status: 'in_progress',
      request_counts: { total: 6, completed: 2, failed: 0 },
      status_counts: { succeeded: 2, running: 2, queued: 2 },
      completed_at: null,
    });
    expect((await edge.lines(batch.output_file_id)).map((line) => line['custom_id'])).toEqual(['line-0', 'line-1']);
  });

  test('that is cancelled keeps what had ended; what had not says so', async () => {
    await using edge = await startBatchEdge({ concurrency: 2 });
    edge.provider.plan(answer('one'));
    edge.provider.always = hang();
    const { id } = await edge.create(inputOf(150));
    await expect.poll(async () => (await edge.openai.batches.retrieve(id)).request_counts?.completed).toBe(1);
    expect(['cancelling', 'cancelled']).toContain((await edge.openai.batches.cancel(id)).status);
    const batch = await edge.finish(id);
    expect(batch).toMatchObject({ status: 'cancelled', request_counts: { total: 150, completed: 1, failed: 149 } });
    expect(batch.cancelled_at).toBeGreaterThanOrEqual(batch.cancelling_at ?? Number.POSITIVE_INFINITY);
    const ended = await edge.lines(batch.error_file_id);
    expect(ended).toHaveLength(149);
    for (const line of ended) expect(line).toMatchObject({ response: null, error: { code: 'batch_cancelled' } });
    expect(await edge.openai.batches.cancel(id)).toMatchObject({ status: 'cancelled' });
  });

  test('that ran out of time says which requests were not run', async () => {
    await using edge = await startBatchEdge({ concurrency: 1 });
    edge.provider.plan(answer('one'));
    edge.provider.always = hang();
    const { id: input } = await edge.upload(inputOf(3));
    const { id } = await edge.openai.batches.create(
      { input_file_id: input, endpoint: '/v1/chat/completions', completion_window: '24h' },
      { headers: { 'x-switchgear-timeout-ms': '400' } },
    );
    const batch = await edge.finish(id);
    expect(batch).toMatchObject({ status: 'expired', request_counts: { total: 3, completed: 1, failed: 2 } });
    expect(batch.expired_at).toBeDefined();
    expect(await edge.lines(batch.error_file_id)).toMatchObject([
      { custom_id: 'line-1', response: null, error: { code: 'batch_expired' } },
      { custom_id: 'line-2', response: null, error: { code: 'batch_expired' } },
    ]);
  });

  test('takes priority, tenant, fallbacks and recovery from the headers, and a model for requests without one from its body', async () => {
    await using edge = await startBatchEdge();
    const { id: input } = await edge.upload(lineOf('a', 'x', { body: { messages: [{ role: 'user', content: 'x' }] } }));
    const created = (await edge.openai.post('/batches', {
      body: { input_file_id: input, endpoint: '/v1/chat/completions', completion_window: '90m', model: 'first/m' },
      headers: {
        'x-switchgear-tenant': 'acme',
        'x-switchgear-priority': 'high',
        'x-switchgear-fallbacks': 'none',
        'x-switchgear-recovery': 'atMostOnce',
      },
    })) as OpenAI.Batches.Batch; // What `batches.create` gives; its types know neither another window nor a model.
    const batch = await edge.finish(created.id);
    expect(batch).toMatchObject({ status: 'completed', completion_window: '90m' });
    const { costByTenant } = await edge.service.costSummary({ tag: `batch=${batch.id}` });
    expect(Object.keys(costByTenant)).toEqual(['acme']);
    const state = await edge.service.batches.loadState(batch.id);
    expect(state.batch.settings).toMatchObject({ priority: 'high', fallbacks: 'none', recovery: 'atMostOnce' });
  });
});

describe('an input that is wrong', () => {
  test('fails the batch before anything is sent, with every mistake by its line', async () => {
    await using edge = await startBatchEdge();
    const input = [lineOf('a', 'x'), '{"custom_id":', lineOf('a', 'y'), lineOf('b', 'z', { url: '/v1/completions' })];
    const batch = await edge.create(input.join('\r\n'));
    expect(batch).toMatchObject({
      status: 'failed',
      request_counts: { total: 0, completed: 0, failed: 0 },
      errors: {
        object: 'list',
        data: [
          { code: 'invalid_json_line', line: 2, param: null },
          { code: 'duplicate_custom_id', line: 3, param: 'custom_id' },
          { code: 'invalid_url', line: 4, param: 'url' },
        ],
      },
    });
    expect(batch.errors?.data?.[1]?.message).toContain('line 1');
    expect(batch.failed_at).toBeDefined();
    expect(batch.output_file_id).toBeNull();
    expect(await edge.openai.batches.retrieve(batch.id)).toEqual(batch);
    expect(edge.provider.attempts).toEqual([]);
  });

  test.each([
    ['nothing', '', 'empty_file'],
    ['blank lines alone', '\n \r\n', 'empty_file'],
    [
      'more than 50,000 lines',
      Array.from({ length: 50_001 }, (_, index) => lineOf(`${index}`, 'x')).join('\n'),
      'batch_too_large',
    ],
  ])('%s', async (_name, input, code) => {
    await using edge = await startBatchEdge();
    expect(await edge.create(input)).toMatchObject({ status: 'failed', errors: { data: [{ code }] } });
    expect(edge.provider.attempts).toEqual([]);
  });

  test('tells a hundred mistakes and not more', async () => {
    await using edge = await startBatchEdge();
    const batch = await edge.create('nonsense\n'.repeat(5_000));
    expect(batch.errors?.data).toHaveLength(100);
  });
});

describe('inputs as they come', () => {
  test.each([
    ['a byte order mark', (text: string) => `\uFEFF${text}`],
    ['CR LF', (text: string) => text.replaceAll('\n', '\r\n')],
    ['no end of the last line', (text: string) => text.slice(0, -1)],
    ['empty lines between', (text: string) => text.replaceAll('\n', '\n\n')],
  ])('with %s are run, and given back byte for byte', async (_name, change) => {
    await using edge = await startBatchEdge();
    const input = change(inputOf(5));
    const created = await edge.create(input);
    expect(await edge.finish(created.id)).toMatchObject({ status: 'completed', request_counts: { completed: 5 } });
    const content = await edge.openai.files.content(created.input_file_id);
    expect(Buffer.from(await content.arrayBuffer()).equals(Buffer.from(input))).toBe(true);
  });

  test('with a line of a megabyte are run; with one over the limit of bodies they are refused by line', async () => {
    await using edge = await startBatchEdge({ bodyLimitBytes: 1_200_000 });
    const large = lineOf('large', 'x'.repeat(1_000_000));
    const batch = await edge.finish((await edge.create(`${lineOf('a', 'x')}\n${large}\n${lineOf('b', 'y')}`)).id);
    expect(batch).toMatchObject({ status: 'completed', request_counts: { completed: 3 } });
    expect(edge.provider.attempts.map(({ prompt }) => prompt.length).toSorted((a, b) => a - b)).toEqual([
      1, 1, 1_000_000,
    ]);
    const refused = await edge.create(`${lineOf('a', 'x')}\n${lineOf('large', 'x'.repeat(1_300_000))}`);
    expect(refused).toMatchObject({ status: 'failed', errors: { data: [{ code: 'line_too_long', line: 2 }] } });
  });

  test('with bytes that are no UTF-8 are refused by line', async () => {
    await using edge = await startBatchEdge();
    const bytes = Buffer.concat([Buffer.from(`${lineOf('a', 'x')}\n`), Buffer.from([0x22, 0xff, 0x22])]);
    expect(await edge.create(bytes)).toMatchObject({ errors: { data: [{ code: 'invalid_json_line', line: 2 }] } });
  });

  test('of 5,000 lines are run, and nobody else waits for them', async () => {
    await using edge = await startBatchEdge({ concurrency: 64 });
    const created = await edge.create(inputOf(5_000));
    const before = performance.now();
    const reply = await edge.openai.chat.completions.create({
      model: 'm',
      messages: [{ role: 'user', content: 'now' }],
    });
    expect(reply.choices[0]?.message.content).toBe('fine');
    const waitedMs = performance.now() - before;
    const batch = await edge.finish(created.id);
    expect(batch.request_counts).toEqual({ total: 5_000, completed: 5_000, failed: 0 });
    const lines = await edge.lines(batch.output_file_id);
    expect(lines.map((line) => line['custom_id'])).toEqual(
      Array.from({ length: 5_000 }, (_, index) => `line-${index}`),
    );
    expect(waitedMs).toBeLessThan(3_000);
  }, 60_000);
});

describe('lists and ids', () => {
  test('batches are listed newest first, page by page', async () => {
    await using edge = await startBatchEdge();
    const ids: string[] = [];
    for (let number = 0; number < 5; number++) ids.unshift((await edge.create(inputOf(1))).id);
    const listed: string[] = [];
    for await (const batch of edge.openai.batches.list({ limit: 2 })) listed.push(batch.id);
    expect(listed).toEqual(ids);
    const page = await edge.openai.batches.list({ limit: 3, after: ids[0] ?? '' });
    expect(page.data.map(({ id }) => id)).toEqual(ids.slice(1, 4));
    expect(page.has_more).toBe(true);
  });

  test('files are listed with what batches gave, and each of them can be looked up and read', async () => {
    await using edge = await startBatchEdge();
    edge.provider.plan(answer('one'), fail('invalid-request', { message: 'no' }));
    const batch = await edge.finish((await edge.create(inputOf(2))).id);
    const other = await edge.upload('x');
    const listed: OpenAI.FileObject[] = [];
    for await (const file of edge.openai.files.list({ limit: 1 })) listed.push(file);
    expect(listed.map(({ id }) => id)).toEqual([
      other.id,
      batch.input_file_id,
      batch.output_file_id,
      batch.error_file_id,
    ]);
    for (const { id, purpose } of listed) {
      const file = await edge.openai.files.retrieve(id);
      const content = Buffer.from(await (await edge.openai.files.content(id)).arrayBuffer());
      expect(file).toMatchObject({ id, purpose, bytes: content.length });
    }
    const outputs = await edge.openai.files.list({ purpose: 'batch_output' });
    expect(outputs.data.map(({ id }) => id)).toEqual([batch.output_file_id, batch.error_file_id]);
  });

  test('a file is deleted once; what a batch gives is not', async () => {
    await using edge = await startBatchEdge();
    const batch = await edge.finish((await edge.create(inputOf(1))).id);
    const file = batch.input_file_id;
    expect(await edge.openai.files.delete(file)).toEqual({ id: file, object: 'file', deleted: true });
    await expect(edge.openai.files.delete(file)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(edge.openai.files.retrieve(file)).rejects.toMatchObject({ status: 404, code: 'request_not_found' });
    await expect(edge.openai.files.content(file)).rejects.toMatchObject({ status: 404 });
    await expect(edge.openai.files.delete(batch.output_file_id ?? '')).rejects.toMatchObject({ status: 400 });
    expect(await edge.lines(batch.output_file_id)).toHaveLength(1);
  });

  test('a batch that is not known is 404, and so are its files', async () => {
    await using edge = await startBatchEdge();
    const { batches, files } = edge.openai;
    for (const call of [
      batches.retrieve('batch_none'),
      batches.cancel('batch_none'),
      files.content('file-none-output'),
    ])
      await expect(call).rejects.toMatchObject({ status: 404, code: 'request_not_found' });
  });

  test.each([
    [{ endpoint: '/v1/responses' }, 'endpoint', 400],
    [{ endpoint: undefined }, 'endpoint', 400],
    [{ completion_window: 'soon' }, 'completion_window', 400],
    [{ completion_window: '8d' }, 'completion_window', 400],
    [{ input_file_id: 'file-none' }, undefined, 404],
    [{ input_file_id: undefined }, 'input_file_id', 400],
    [{ metadata: { note: 7 } }, 'metadata.note', 400],
    [{ surprise: true }, '', 400],
  ])('a creation with %j is refused', async (changes, param, status) => {
    await using edge = await startBatchEdge();
    const file = await edge.upload(inputOf(1));
    const body = { input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h', ...changes };
    const failure: unknown = await edge.openai.post('/batches', { body }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ status });
    if (param) expect(failure).toMatchObject({ param });
    expect((await edge.openai.batches.list()).data).toEqual([]);
  });

  test.each(['limit=0', 'limit=x', 'order=asc', 'sort=1'])('a list with %s is refused', async (query) => {
    await using edge = await startBatchEdge();
    expect((await fetch(`${edge.url}/v1/batches?${query}`)).status).toBe(400);
  });
});

describe('an idempotency key', () => {
  const create = (url: string, file: string, key: string, window = '24h') =>
    fetch(`${url}/v1/batches`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
      body: JSON.stringify({ input_file_id: file, endpoint: '/v1/chat/completions', completion_window: window }),
    });

  test('stands for the batch of one content, from whichever upload it comes, and is looked up by it', async () => {
    await using edge = await startBatchEdge();
    const uploads = [await edge.upload(inputOf(2)), await edge.upload(inputOf(2)), await edge.upload(inputOf(3))];
    const ids = uploads.map(({ id }) => id);
    const first = await (await create(edge.url, ids[0] ?? '', 'k')).json();
    const second = await (await create(edge.url, ids[1] ?? '', 'k')).json();
    expect(second.id).toBe(first.id);
    const conflict = await create(edge.url, ids[2] ?? '', 'k');
    expect(conflict.status).toBe(409);
    expect(conflict.headers.get('x-switchgear-error')).toBe('idempotency-conflict');
    const found = await (await fetch(`${edge.url}/v1/batches?idempotency_key=k`)).json();
    expect(found.data.map(({ id }: { id: string }) => id)).toEqual([first.id]);
    const none = await (await fetch(`${edge.url}/v1/batches?idempotency_key=other`)).json();
    expect(none).toMatchObject({ object: 'list', data: [], has_more: false });
    await edge.finish(first.id);
    expect(edge.provider.attempts).toHaveLength(2);
  });
});
