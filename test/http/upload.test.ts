/** Files over HTTP: who may send one, what a form must hold, how large, and what is left of one that was cut off. */
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { FileStore } from '../../src/contract/batches.ts';
import { MemoryFiles } from '../../src/stores/memory-files.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { type BatchEdge, inputOf, startBatchEdge } from '../support/batch-edge.ts';
import { sendRaw } from '../support/http-edge.ts';

interface FormField {
  readonly name: string;
  readonly value: string | Blob;
  readonly filename?: string;
}

const PURPOSE: FormField = { name: 'purpose', value: 'batch' };
const FILE: FormField = { name: 'file', value: new Blob([inputOf(1)]), filename: 'requests.jsonl' };

function formOf(fields: readonly FormField[]): FormData {
  const form = new FormData();
  for (const { name, value, filename } of fields) {
    if (typeof value === 'string') form.append(name, value);
    else form.append(name, value, filename);
  }
  return form;
}

function send(edge: BatchEdge, fields: readonly FormField[], headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${edge.url}/v1/files`, { method: 'POST', body: formOf(fields), headers });
}

async function filesOf(edge: BatchEdge): Promise<readonly string[]> {
  return (await edge.openai.files.list()).data.map(({ filename }) => filename);
}

/** Counts the chunks of each file that is kept. */
class WatchedFiles implements FileStore {
  readonly #files = new MemoryFiles({ clock: systemClock });
  readonly chunks = new Map<string, number>();
  /** Throws behind so many chunks of a file that is read. */
  readableMax = Number.POSITIVE_INFINITY;
  finish: FileStore['finish'] = (file) => this.#files.finish(file);
  load: FileStore['load'] = (fileId) => this.#files.load(fileId);
  list: FileStore['list'] = (page) => this.#files.list(page);

  async append(fileId: string, index: number, chunk: Uint8Array): Promise<boolean> {
    this.chunks.set(fileId, index + 1);
    return this.#files.append(fileId, index, chunk);
  }

  async read(fileId: string, index: number): Promise<Uint8Array | undefined> {
    if (index >= this.readableMax) throw new Error('the disk fails');
    return this.#files.read(fileId, index);
  }

  async remove(fileId: string): Promise<boolean> {
    this.chunks.delete(fileId);
    return this.#files.remove(fileId);
  }
}

describe('who may send a file', () => {
  test.each([
    ['a page of another site', { origin: 'http://evil.example' }],
    ['a page without an origin', { origin: 'null' }],
    ['a page of another site that hides its origin', { 'sec-fetch-site': 'cross-site' }],
    ['a page of a neighbour', { 'sec-fetch-site': 'same-site' }],
  ])('not %s: 403, and nothing is kept', async (_name, headers) => {
    await using edge = await startBatchEdge();
    const response = await send(edge, [PURPOSE, FILE], headers);
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ error: { code: 'forbidden' } });
    expect(await filesOf(edge)).toEqual([]);
  });

  test('a program, and a page of this server', async () => {
    await using edge = await startBatchEdge();
    expect((await send(edge, [PURPOSE, FILE])).status).toBe(200);
    expect((await send(edge, [PURPOSE, FILE], { origin: edge.url, 'sec-fetch-site': 'same-origin' })).status).toBe(200);
  });

  test.each(['/v1/chat/completions', '/v1/batches', '/v1/requests', '/v1/messages', '/admin/explain'])(
    'a form is read nowhere else: %s answers 415',
    async (path) => {
      await using edge = await startBatchEdge();
      const response = await fetch(`${edge.url}${path}`, { method: 'POST', body: formOf([PURPOSE, FILE]) });
      expect(response.status).toBe(415);
    },
  );

  test.each([
    ['application/json', '{}'],
    ['text/plain', 'x'],
    ['application/x-www-form-urlencoded', 'purpose=batch'],
    ['multipart/form-data', 'x'],
  ])('a file that comes as %s is 415', async (type, body) => {
    await using edge = await startBatchEdge();
    const response = await fetch(`${edge.url}/v1/files`, { method: 'POST', headers: { 'content-type': type }, body });
    expect(response.status).toBe(415);
    expect(response.headers.get('x-switchgear-error')).toBe('invalid-request');
  });
});

describe('a form', () => {
  test.each([
    ['its purpose before the file', [PURPOSE, FILE]],
    ['its purpose behind the file', [FILE, PURPOSE]],
    ['fields that say more', [FILE, PURPOSE, { name: 'expires_after[anchor]', value: 'created_at' }]],
  ])('with %s is taken', async (_name, fields) => {
    await using edge = await startBatchEdge();
    const response = await send(edge, fields);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ object: 'file', purpose: 'batch', filename: 'requests.jsonl' });
    expect(await filesOf(edge)).toEqual(['requests.jsonl']);
  });

  test.each([
    ['no purpose', [FILE], 'purpose'],
    ['another purpose', [FILE, { name: 'purpose', value: 'fine-tune' }], 'purpose'],
    ['no file', [PURPOSE], 'file'],
    ['a file by another name', [PURPOSE, { ...FILE, name: 'upload' }], 'file'],
    ['two files', [PURPOSE, FILE, FILE], null],
    ['too many fields', [FILE, ...Array.from({ length: 12 }, () => PURPOSE)], null],
    ['a prototype as a field', [PURPOSE, { name: '__proto__', value: 'x' }, FILE], null],
  ])('with %s is 400, and nothing is kept', async (_name, fields, param) => {
    const files = new WatchedFiles();
    await using edge = await startBatchEdge({ files });
    const response = await send(edge, fields);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { type: 'invalid_request_error', param } });
    expect(await filesOf(edge)).toEqual([]);
    expect(files.chunks.size).toBe(0);
  });

  test('that breaks off is 400, and nothing is kept', async () => {
    const files = new WatchedFiles();
    await using edge = await startBatchEdge({ files });
    const body = '--b\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\nabc';
    const answer = await sendRaw(
      edge.port,
      `POST /v1/files HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    expect(answer).toMatch(/^HTTP\/1.1 400 /);
    expect(files.chunks.size).toBe(0);
  });
});

describe('the size of a file', () => {
  const limits = { fileBytesMax: 300_000 };

  test('may be the limit and not a byte more', async () => {
    const files = new WatchedFiles();
    await using edge = await startBatchEdge({ limits, files });
    const sized = (bytes: number) => [PURPOSE, { ...FILE, value: new Blob(['x'.repeat(bytes)]) }];
    expect((await send(edge, sized(300_000))).status).toBe(200);
    const response = await send(edge, sized(300_001));
    expect(response.status).toBe(413);
    expect((await response.json()).error.message).toContain('at most 300000 bytes long');
    expect(await filesOf(edge)).toHaveLength(1);
    expect(files.chunks.size).toBe(1);
  });

  test('that is announced as too large is refused before it is sent', async () => {
    await using edge = await startBatchEdge({ limits });
    const head = `POST /v1/files HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 400000\r\n\r\n`;
    expect(await sendRaw(edge.port, head)).toMatch(/^HTTP\/1.1 413 /);
  });

  test('is held in memory chunk by chunk, however the bytes come', async () => {
    await using edge = await startBatchEdge({ limits: { fileBytesMax: 3_000_000 } });
    const value = new Blob([Buffer.alloc(2_500_000, 'abcdefg\n')]);
    const { id, bytes } = await (await send(edge, [PURPOSE, { ...FILE, value }])).json();
    expect(bytes).toBe(2_500_000);
    const content = Buffer.from(await (await edge.openai.files.content(id)).arrayBuffer());
    expect(content.equals(Buffer.from(await value.arrayBuffer()))).toBe(true);
  });
});

describe('a client that leaves', () => {
  test('while it sends leaves nothing behind', async () => {
    const files = new WatchedFiles();
    await using edge = await startBatchEdge({ files });
    const socket = connect(edge.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(
      `POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 9000000\r\n\r\n` +
        `--b\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\n${'x'.repeat(600_000)}`,
    );
    await expect.poll(() => files.chunks.size).toBe(1);
    socket.destroy();
    await expect.poll(() => files.chunks.size).toBe(0);
    expect(await filesOf(edge)).toEqual([]);
  });

  test('and one that is too slow is closed with 408, and leaves nothing behind', async () => {
    const files = new WatchedFiles();
    await using edge = await startBatchEdge({
      files,
      limits: { headersTimeoutMs: 150, requestTimeoutMs: 300, checkIntervalMs: 50 },
    });
    const answer = await sendRaw(
      edge.port,
      `POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 9000000\r\n\r\n` +
        `--b\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\n${'x'.repeat(600_000)}`,
    );
    expect(answer).toMatch(/^HTTP\/1.1 408 /);
    await expect.poll(() => files.chunks.size).toBe(0);
  });
});

describe('content', () => {
  test('never runs as a page of this server, whatever was uploaded', async () => {
    await using edge = await startBatchEdge();
    const value = new Blob(['<script>alert(1)</script>'], { type: 'text/html' });
    const { id } = await (await send(edge, [PURPOSE, { ...FILE, value, filename: 'a"b\u00e4.html' }])).json();
    const { headers } = await fetch(`${edge.url}/v1/files/${id}/content`);
    expect(headers.get('content-type')).toBe('application/octet-stream');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('content-disposition')).toMatch(/^attachment; filename="[\w.-]+"$/);
  });

  test('that breaks while it is sent is cut, never ended as if it were whole', async () => {
    const files = new WatchedFiles();
    await using edge = await startBatchEdge({ files });
    const { id } = await edge.upload('x'.repeat(1_000_000));
    files.readableMax = 2;
    const response = await fetch(`${edge.url}/v1/files/${id}/content`);
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow('terminated');
    files.readableMax = 0;
    expect((await fetch(`${edge.url}/v1/files/${id}/content`)).status).toBe(500);
  });

  test('that nobody takes is given up', async () => {
    const files = new WatchedFiles();
    await using edge = await startBatchEdge({ files, limits: { readerStallMs: 200 } });
    const { id } = await edge.upload(Buffer.alloc(30_000_000, 'x'));
    const before = await socketsOf(edge);
    const socket = connect(edge.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(`GET /v1/files/${id}/content HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await new Promise((resolve) => socket.once('readable', resolve));
    expect(await socketsOf(edge)).toBe(before + 1);
    await expect.poll(() => socketsOf(edge)).toBe(before);
    socket.destroy();
  });
});

/** How many sockets the server has. */
async function socketsOf(edge: BatchEdge): Promise<number> {
  return new Promise((resolve, reject) => {
    edge.app.server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}
