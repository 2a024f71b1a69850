/** `batch run`, `status` and `cancel` against a daemon's edge: what is handed over, shown, written, and found again. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runCommandLine } from '../../src/cli/program.ts';
import { until } from '../simulator/support.ts';
import { inputOf, lineOf, startBatchEdge } from '../support/batch-edge.ts';
import { answer, echo, fail, hang, when } from '../support/scripted-provider.ts';
import { always, reply, startScriptedDaemon } from './scripted-daemon.ts';
import { createTestShell, run } from './test-shell.ts';

interface Folder extends AsyncDisposable {
  readonly input: string;
  readonly output: string;
  readonly path: string;
}

/** A folder with one input in it. */
async function withInput(text: string | Uint8Array): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'switchgear-batch-'));
  const input = join(path, 'requests.jsonl');
  await writeFile(input, text);
  return {
    input,
    output: join(path, 'requests.output.jsonl'),
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true }),
  };
}

async function linesOf(file: string): Promise<readonly Record<string, unknown>[]> {
  const text = await readFile(file, 'utf8');
  return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Record<string, unknown>]));
}

// They wait for the next look at the batch more than for anything else: several at once.
describe.concurrent('batch run', () => {
  test('writes the results of a file beside it, in its order, and says what they cost', async () => {
    await using edge = await startBatchEdge();
    edge.provider.always = when(({ number }) => echo(number % 3));
    await using folder = await withInput(inputOf(12));
    const { code, out, err } = await run(['batch', 'run', folder.input, '--url', edge.url]);
    expect({ code, out }).toEqual({ code: 0, out: `12 of 12 succeeded for $0.00024: ${folder.output}\n` });
    expect(err).toMatch(/^batch_\w+ was made of 12 requests\n/);
    const lines = await linesOf(folder.output);
    expect(lines.map((line) => line['custom_id'])).toEqual(Array.from({ length: 12 }, (_, index) => `line-${index}`));
    expect(JSON.stringify(lines[5])).toContain('first: 5');
    expect((await readdir(folder.path)).toSorted()).toEqual(['requests.jsonl', 'requests.output.jsonl']);
  });

  test('ends with 75 when some failed, says how many and which, and writes all of them', async () => {
    await using edge = await startBatchEdge();
    edge.provider.always = when(({ request }) =>
      /"content":"[135]"/.test(JSON.stringify(request)) ? fail('invalid-request', { message: 'no' }) : answer('fine'),
    );
    await using folder = await withInput(inputOf(6));
    const { code, err } = await run(['batch', 'run', folder.input, '--url', edge.url]);
    expect(code).toBe(75);
    expect(err).toContain('3 of 6 succeeded');
    expect(err).toContain('3 did not: line-1: invalid_request; line-3: invalid_request; line-5: invalid_request.');
    expect(await linesOf(folder.output)).toHaveLength(6);
  });

  test('ends with 65 when the file is wrong, names its lines, and runs nothing', async () => {
    await using edge = await startBatchEdge();
    await using folder = await withInput(`${lineOf('a', 'x')}\n${lineOf('a', 'y')}\nnonsense\n`);
    const { code, err } = await run(['batch', 'run', folder.input, '--url', edge.url]);
    expect(code).toBe(65);
    expect(err).toContain('nothing was run');
    expect(err).toContain('line 2: expected custom_id to be unique');
    expect(err).toContain('line 3: expected the line to be JSON');
    expect(edge.provider.attempts).toEqual([]);
    expect(await readdir(folder.path)).toEqual(['requests.jsonl']);
  });

  test('of a file that was run before fetches its results again and asks nobody', async () => {
    await using edge = await startBatchEdge();
    await using folder = await withInput(inputOf(4));
    await run(['batch', 'run', folder.input, '--url', edge.url]);
    await rm(folder.output);
    const again = await run(['batch', 'run', folder.input, '--url', edge.url]);
    expect(again.code).toBe(0);
    expect(again.err).toContain('made from this file before');
    expect(await linesOf(folder.output)).toHaveLength(4);
    expect(edge.provider.attempts).toHaveLength(4);
    // Nothing was uploaded a second time.
    expect((await edge.openai.files.list({ purpose: 'batch' })).data).toHaveLength(1);
    const anew = await run(['batch', 'run', folder.input, '--key', 'second', '--url', edge.url]);
    expect(anew.code).toBe(0);
    expect(edge.provider.attempts).toHaveLength(8);
    await writeFile(folder.input, inputOf(5));
    expect((await run(['batch', 'run', folder.input, '--url', edge.url])).code).toBe(0);
    expect(edge.provider.attempts).toHaveLength(13);
  });

  test('that is interrupted says how to go on; the same command goes on with the same batch', async () => {
    await using edge = await startBatchEdge({ concurrency: 1 });
    edge.provider.plan(answer('one'));
    edge.provider.always = hang();
    await using folder = await withInput(inputOf(3));
    const shell = createTestShell();
    const words = ['batch', 'run', folder.input, '--url', edge.url];
    const watching = runCommandLine(words, shell);
    await until(() => edge.provider.attempts.length === 2, 'the second line to be asked');
    await until(() => shell.err().includes('of 3'), 'the progress to be shown');
    shell.pressControlC();
    expect(await watching).toBe(130);
    const batchId = /batch_\w+/.exec(shell.err())?.[0] ?? '';
    expect(shell.err()).toContain(`stopped watching; ${batchId} goes on`);
    expect(shell.err()).toContain(`switchgear batch cancel ${batchId}`);
    expect(await readdir(folder.path)).toEqual(['requests.jsonl']);

    edge.provider.always = answer('fine');
    await edge.service.cancel(edge.service.openRequests()[0]?.requestId ?? '');
    const { code, err } = await run(words);
    expect(err).toContain(`goes on with ${batchId}`);
    expect(code).toBe(75);
    expect((await linesOf(folder.output)).map(({ error }) => (error === null ? 'answered' : 'not'))).toEqual([
      'answered',
      'not',
      'answered',
    ]);
  });

  test('that is interrupted while it uploads has handed over nothing', async () => {
    let uploads = 0;
    const daemon = createServer((request, response) => {
      if (request.method === 'POST') uploads += 1;
      else response.end('{"object":"list","data":[]}');
    });
    await new Promise<void>((resolve) => daemon.listen(0, '127.0.0.1', resolve));
    const { port } = daemon.address() as AddressInfo; // It listens on TCP.
    await using folder = await withInput(inputOf(3));
    const shell = createTestShell();
    const running = runCommandLine(['batch', 'run', folder.input, '--url', `http://127.0.0.1:${port}`], shell);
    await until(() => uploads === 1, 'the upload to begin');
    shell.pressControlC();
    expect(await running).toBe(130);
    expect(shell.err()).not.toContain('goes on');
    daemon.closeAllConnections();
    daemon.close();
  });

  test('shows how far it is: on a terminal in one line, else now and then, with --json a document a line', async () => {
    await using edge = await startBatchEdge({ concurrency: 2 });
    edge.provider.always = echo(700);
    await using folder = await withInput(inputOf(4));
    const shell = createTestShell({ isTerminal: true });
    expect(await runCommandLine(['batch', 'run', folder.input, '--url', edge.url], shell)).toBe(0);
    expect(shell.err()).toContain('\u001b[1A\u001b[J');
    expect(shell.err()).toMatch(/2 of 4, 2 running, [\d.]+\/s, about [\d.]+ (ms|s) left/);
    expect(shell.err()).toContain('4 of 4, 0 running');

    const { code, out, err } = await run(['batch', 'run', folder.input, '--key', 'k2', '--json', '--url', edge.url]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const documents = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(documents[0]).toMatchObject({ batchId: expect.stringMatching(/^batch_/), total: 4, ended: 0 });
    expect(documents.at(-2)).toMatchObject({ status: 'completed', total: 4, ended: 4, failed: 0 });
    expect(documents.at(-1)).toMatchObject({ status: 'completed', succeeded: 4, failed: 0, output: folder.output });
  });

  test('passes its options on, and reads the endpoint off the file', async () => {
    await using edge = await startBatchEdge();
    const line = { custom_id: 'a', method: 'POST', url: '/v1/embeddings', body: { input: 'four' } };
    await using folder = await withInput(`\uFEFF\r\n${JSON.stringify(line)}\r\n`);
    const output = join(folder.path, 'there.jsonl');
    const options = [
      '--output',
      output,
      '--model',
      'first/m',
      '--tenant',
      'acme',
      '--priority',
      'high',
      '--timeout-ms',
      '60000',
    ];
    const result = await run(['batch', 'run', folder.input, ...options, '--url', edge.url]);
    expect(result).toMatchObject({ code: 0 });
    expect(await linesOf(output)).toMatchObject([
      { custom_id: 'a', response: { body: { data: [{ embedding: [4, 1] }] } } },
    ]);
    const [{ batch } = { batch: undefined }] = await edge.service.batches.listStates({ max: 1 });
    expect(batch).toMatchObject({
      tenant: 'acme',
      kind: 'embedding',
      settings: { priority: 'high', timeoutMs: 60_000 },
    });
  });

  test.each([
    ['a file that is not there', (path: string) => [join(path, 'none.jsonl')], 64],
    ['a folder', (path: string) => [path], 64],
    [
      'an output that is the input',
      (path: string) => [join(path, 'requests.jsonl'), '-o', join(path, 'requests.jsonl')],
      64,
    ],
    ['an output in no folder', (path: string) => [join(path, 'requests.jsonl'), '-o', join(path, 'no', 'x.jsonl')], 74],
  ])('of %s ends with its exit code and leaves the input alone', async (_name, words, code) => {
    await using edge = await startBatchEdge();
    await using folder = await withInput(inputOf(2));
    expect((await run(['batch', 'run', ...words(folder.path), '--url', edge.url])).code).toBe(code);
    expect(await readFile(folder.input, 'utf8')).toBe(inputOf(2));
  });

  test('without a daemon ends with 69', async () => {
    await using folder = await withInput(inputOf(1));
    expect((await run(['batch', 'run', folder.input, '--url', 'http://127.0.0.1:1'])).code).toBe(69);
  });
});

test('batch run of 5,000 lines writes all of them, once each', async () => {
  await using edge = await startBatchEdge({ concurrency: 64 });
  await using folder = await withInput(inputOf(5_000).replaceAll('\n', '\r\n'));
  const { code, out } = await run(['batch', 'run', folder.input, '--url', edge.url]);
  expect({ code, out }).toEqual({ code: 0, out: `5,000 of 5,000 succeeded for $0.10: ${folder.output}\n` });
  const lines = await linesOf(folder.output);
  expect(lines.map((line) => line['custom_id'])).toEqual(Array.from({ length: 5_000 }, (_, index) => `line-${index}`));
}, 60_000);

describe('results that do not come whole', () => {
  const done = {
    id: 'batch_1',
    status: 'completed',
    request_counts: { total: 2, completed: 2, failed: 0 },
    results_file_id: 'file-1-results',
  };
  const line = '{"custom_id":"a","response":{"status_code":200,"body":{}},"error":null}\n';

  test.each([
    ['are fewer than the requests', line, false, 76],
    ['break off', line, true, 69],
  ])('because they %s are not written, and an older output stays', async (_name, content, isCut, code) => {
    await using daemon = await startScriptedDaemon(({ path }, response) => {
      if (!path.endsWith('/content')) return reply(response, 200, { object: 'list', data: [done] });
      response.writeHead(200, { 'content-type': 'application/octet-stream' });
      response.write(content, () => (isCut ? response.destroy() : response.end()));
    });
    await using folder = await withInput(inputOf(2));
    await writeFile(folder.output, 'older');
    expect((await run(['batch', 'run', folder.input, '--url', daemon.url])).code).toBe(code);
    expect(await readFile(folder.output, 'utf8')).toBe('older');
    expect((await readdir(folder.path)).toSorted()).toEqual(['requests.jsonl', 'requests.output.jsonl']);
  });
});

describe('batch status and batch cancel', () => {
  test('status says how far a batch is, cancel ends it, and a second cancel that there was nothing to end', async () => {
    await using edge = await startBatchEdge({ concurrency: 1 });
    edge.provider.plan(answer('one'));
    edge.provider.always = hang();
    const { id } = await edge.create(inputOf(3));
    await expect.poll(() => edge.provider.attempts.length).toBe(2);
    const status = await run(['batch', 'status', id, '--url', edge.url]);
    expect(status).toEqual({
      code: 0,
      out: `${id} in progress\n1 of 3 ended, 1 succeeded, 0 failed, 1 running\n`,
      err: '',
    });
    const cancel = await run(['batch', 'cancel', id, '--url', edge.url]);
    expect(cancel.code).toBe(0);
    expect(cancel.out).toContain(`${id} is cancel`);
    await edge.finish(id);
    const again = await run(['batch', 'cancel', id, '--url', edge.url]);
    expect(again).toMatchObject({ code: 65, err: `switchgear: ${id} is cancelled already: nothing was cancelled\n` });
    const json = await run(['batch', 'status', id, '--json', '--url', edge.url]);
    expect(JSON.parse(json.out)).toMatchObject({ id, status: 'cancelled' });
  });

  test('status of a batch that was refused names what was wrong', async () => {
    await using edge = await startBatchEdge();
    const { id } = await edge.create('nonsense');
    const { out } = await run(['batch', 'status', id, '--url', edge.url]);
    expect(out).toContain(`${id} failed\n`);
    expect(out).toContain('line 1: expected the line to be JSON');
  });

  test('an id that is not known ends with 65', async () => {
    await using edge = await startBatchEdge();
    for (const word of ['status', 'cancel'])
      expect((await run(['batch', word, 'batch_none', '--url', edge.url])).code).toBe(65);
  });

  test.each(['../admin/tree', '', 'a b', '..'])('an id that is none (%j) never becomes a path', async (id) => {
    await using daemon = await startScriptedDaemon(always(200, {}));
    for (const word of ['status', 'cancel'])
      expect((await run(['batch', word, id, '--url', daemon.url])).code).toBe(64);
    expect(daemon.questions).toEqual([]);
  });
});
