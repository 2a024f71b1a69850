/** A whole service with one scripted provider behind the HTTP edge, on sockets and on the machine's clock: for batches. */
import type { FastifyInstance } from 'fastify';
import OpenAI, { toFile } from 'openai';
import { startService } from '../../src/compose.ts';
import type { FileStore } from '../../src/contract/batches.ts';
import { resolveConfig } from '../../src/config/resolve.ts';
import type { Service } from '../../src/contract/service.ts';
import type { HttpLimits } from '../../src/http/edge.ts';
import { createHttpServer } from '../../src/http/server.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { ScriptedProvider } from './scripted-provider.ts';

export type OpenaiBatch = OpenAI.Batches.Batch;

export interface BatchEdgeOptions {
  readonly concurrency?: number;
  readonly bodyLimitBytes?: number;
  readonly storePath?: string;
  readonly limits?: Partial<HttpLimits>;
  /** In place of the configured one. */
  readonly files?: FileStore;
}

export interface BatchEdge extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly app: FastifyInstance;
  readonly service: Service;
  readonly provider: ScriptedProvider;
  readonly openai: OpenAI;
  /** Uploads bytes as a file for a batch. */
  upload(content: string | Uint8Array): Promise<OpenAI.FileObject>;
  /** Uploads and creates. */
  create(content: string | Uint8Array, endpoint?: '/v1/chat/completions' | '/v1/embeddings'): Promise<OpenaiBatch>;
  /** Polls until nothing changes any more, as clients do. */
  finish(batchId: string): Promise<OpenaiBatch>;
  /** The lines of a file. */
  lines(fileId: string | undefined): Promise<readonly Record<string, unknown>[]>;
}

/** One line of an input. */
export function lineOf(customId: string, content: string, changes: object = {}): string {
  return JSON.stringify({
    custom_id: customId,
    method: 'POST',
    url: '/v1/chat/completions',
    body: { model: 'm', messages: [{ role: 'user', content }] },
    ...changes,
  });
}

/** Lines `line-0`, `line-1` and so on, that ask for their number. */
export function inputOf(count: number): string {
  return Array.from({ length: count }, (_, index) => `${lineOf(`line-${index}`, String(index))}\n`).join('');
}

const POLL_MS = 20;
const OVER = ['completed', 'failed', 'expired', 'cancelled'];

export async function startBatchEdge(options: BatchEdgeOptions = {}): Promise<BatchEdge> {
  const { concurrency = 16, bodyLimitBytes = 4_194_304, storePath, limits, files } = options;
  const provider = new ScriptedProvider('first', systemClock);
  const config = {
    providers: {
      first: {
        adapter: 'scripted',
        models: { m: { price: { inputUsdPerMillionTokens: 1, outputUsdPerMillionTokens: 2 } } },
        concurrency,
        health: { intervalMs: 86_400_000 },
      },
    },
    defaults: { model: 'm' },
    http: { bodyLimitBytes },
    ...(storePath !== undefined && { store: { kind: 'sqlite' as const, path: storePath } }),
  };
  const adapters = { scripted: provider.createAdapter };
  const service = await startService(config, { env: {}, adapters, ...(files && { storage: { files } }) });
  const { config: resolved } = resolveConfig(config, { env: {}, adapterNames: ['scripted'] });
  const app = createHttpServer({ service, config: resolved, clock: systemClock, ...(limits && { limits }) });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused', maxRetries: 0 });
  const upload: BatchEdge['upload'] = async (content) =>
    openai.files.create({ purpose: 'batch', file: await toFile(Buffer.from(content), 'requests.jsonl') });
  return {
    url,
    port: Number(new URL(url).port),
    app,
    service,
    provider,
    openai,
    upload,
    create: async (content, endpoint = '/v1/chat/completions') => {
      const { id } = await upload(content);
      return openai.batches.create({ input_file_id: id, endpoint, completion_window: '24h' });
    },
    finish: async (batchId) => {
      for (;;) {
        const batch = await openai.batches.retrieve(batchId);
        if (OVER.includes(batch.status)) return batch;
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    },
    lines: async (fileId) => {
      if (fileId === undefined) throw new Error('expected the batch to have such a file');
      const text = await (await openai.files.content(fileId)).text();
      return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Record<string, unknown>]));
    },
    [Symbol.asyncDispose]: async () => {
      await service.stop({ graceMs: 0 });
      app.server.closeAllConnections();
      await app.close();
    },
  };
}
