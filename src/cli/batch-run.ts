/**
 * `batch run`: hands a file over, watches it, and writes the results when the last request has ended. Everything is with the
 * daemon, under a key made of what is in the file: the same command again finds the same batch, wherever it was interrupted.
 */
import { openAsBlob } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT } from '../daemon/exit-code.ts';
import { type InputFile, outputPath, readInputFile, writeOutput } from './batch-file.ts';
import { count, RateMeter, renderProgress } from './batch-progress.ts';
import { batchBody, type BatchBody, batchListBody, batchPath, fileBody, isOver, problemsOf } from './batch-wire.ts';
import { LiveBlock } from './demo/live-block.ts';
import { CliFailure } from './failure.ts';
import { renderUsd } from './render.ts';
import { ADMIN_TIMEOUT_MS, type CommandContext } from './session.ts';
import { costsBody, parseBody } from './wire.ts';

export interface RunBatchOptions {
  readonly output?: string;
  readonly model?: string;
  readonly priority?: string;
  readonly timeoutMs?: number;
  readonly tenant?: string;
  readonly key?: string;
}

const WINDOW = '24h';
const POLL_MS = 1_000;
/** A daemon that is started again meanwhile is waited for this long. */
const AWAY_MAX_MS = 60_000;
/** Mistakes of the input that are shown. */
const PROBLEMS_SHOWN = 5;

/** Runs one file. @throws {CliFailure} when not every request succeeded */
export async function runBatch(context: CommandContext, path: string, options: RunBatchOptions): Promise<void> {
  const output = outputPath(path, options.output);
  const run = new BatchRun(context, await readInputFile(path), options);
  const batch = await run.watch(await run.findOrCreate());
  await run.conclude(batch, output);
}

class BatchRun {
  readonly #context: CommandContext;
  readonly #input: InputFile;
  readonly #options: RunBatchOptions;
  readonly #signal: AbortSignal;
  readonly #block: LiveBlock;

  constructor(context: CommandContext, input: InputFile, options: RunBatchOptions) {
    this.#context = context;
    this.#input = input;
    this.#options = options;
    this.#signal = context.shell.interrupt();
    this.#block = new LiveBlock(context.shell.stderr);
  }

  async findOrCreate(): Promise<BatchBody> {
    const client = this.#context.client();
    const query = { idempotency_key: this.#key };
    const body = await client.ask({ ...this.#quick, method: 'GET', path: '/v1/batches', query });
    const [known] = parseBody(batchListBody, body, client.url).data;
    if (known !== undefined) {
      await this.#tell(`goes on with ${known.id}, made from this file before`);
      return known;
    }
    const batch = await this.#create(await this.#upload());
    await this.#tell(`${batch.id} was made of ${count(batch.request_counts.total)} requests`);
    return batch;
  }

  /** Resolves when nothing changes any more. */
  async watch(first: BatchBody): Promise<BatchBody> {
    const meter = new RateMeter();
    try {
      for (let batch = first; ; batch = await this.#look(first.id)) {
        const progress = meter.measure(batch, performance.now());
        const { isJson, shell } = this.#context;
        if (isJson)
          await shell.stdout.write(`${JSON.stringify({ batchId: batch.id, status: batch.status, ...progress })}\n`);
        else await this.#block.draw([renderProgress(progress)], renderProgress(progress));
        if (isOver(batch)) return batch;
        await sleep(POLL_MS, undefined, { signal: this.#signal });
      }
    } catch (error) {
      if (this.#signal.aborted)
        await this.#tell(
          `stopped watching; ${first.id} goes on. The same command goes on watching, "switchgear batch cancel ${first.id}" ends it`,
        );
      throw error;
    }
  }

  /** Fetches what there is, and says how it went. */
  async conclude(batch: BatchBody, output: string): Promise<void> {
    if (batch.status === 'failed') throw refused(this.#input.path, batch);
    const failures = await this.#fetch(batch, output);
    const { total, completed, failed } = batch.request_counts;
    const document = { batchId: batch.id, status: batch.status, total, succeeded: completed, failed, output };
    const cost = await this.#cost(batch.id);
    const summary = `${count(completed)} of ${count(total)} succeeded${cost}: ${output}`;
    if (completed < total) {
      const how =
        batch.status === 'completed'
          ? ''
          : ` (the batch ${batch.status === 'expired' ? 'ran out of time' : 'was cancelled'})`;
      const named = failures.join('; ');
      const more = failed > failures.length ? '; …' : '';
      const advice = 'Another --key runs the file again';
      const message = `${summary}; ${count(failed)} did not${how}: ${named}${more}. ${advice}`;
      throw new CliFailure(EXIT.temporary, message, { document });
    }
    await this.#context.show(document, `${summary}\n`);
  }

  async #upload(): Promise<string> {
    const client = this.#context.client();
    const { FormData } = await import('undici');
    const form = new FormData();
    form.append('purpose', 'batch');
    form.append('file', await openAsBlob(this.#input.path), basename(this.#input.path));
    const ask = { method: 'POST', path: '/v1/files', headers: this.#headers, form, signal: this.#signal } as const;
    return parseBody(fileBody, await client.ask(ask), client.url).id;
  }

  async #create(fileId: string): Promise<BatchBody> {
    const client = this.#context.client();
    const { model } = this.#options;
    const body = await client.ask({
      method: 'POST',
      path: '/v1/batches',
      headers: { ...this.#headers, 'idempotency-key': this.#key },
      body: {
        input_file_id: fileId,
        endpoint: this.#input.endpoint,
        completion_window: WINDOW,
        ...(model !== undefined && { model }),
      },
      signal: this.#signal,
    });
    return parseBody(batchBody, body, client.url);
  }

  /** A daemon that is away for a moment is no reason to stop watching. */
  async #look(batchId: string): Promise<BatchBody> {
    const client = this.#context.client();
    const untilMs = performance.now() + AWAY_MAX_MS;
    for (;;) {
      try {
        const body = await client.ask({ ...this.#quick, method: 'GET', path: batchPath(batchId) });
        return parseBody(batchBody, body, client.url);
      } catch (error) {
        const mayReturn =
          error instanceof CliFailure && (error.exitCode === EXIT.unavailable || error.exitCode === EXIT.temporary);
        if (!mayReturn || performance.now() > untilMs) throw this.#lost(error, batchId);
      }
      await sleep(POLL_MS, undefined, { signal: this.#signal });
    }
  }

  /** A batch that is not known any more was in the memory of a daemon that has ended. */
  #lost(error: unknown, batchId: string): unknown {
    if (!(error instanceof CliFailure) || error.details.code !== 'request-not-found') return error;
    const message = `the daemon does not know ${batchId} any more: it was started again and keeps batches in memory (store.kind). The same command begins anew`;
    return new CliFailure(EXIT.temporary, message, { cause: error, code: error.details.code });
  }

  /** Writes what there is. Gives what failed first. */
  async #fetch(batch: BatchBody, output: string): Promise<readonly string[]> {
    const client = this.#context.client();
    if (batch.results_file_id === null || batch.results_file_id === undefined) return [];
    const path = `/v1/files/${encodeURIComponent(batch.results_file_id)}/content`;
    const chunks = client.stream({ method: 'GET', path, signal: this.#signal });
    return writeOutput(output, chunks, batch.request_counts.total);
  }

  /** Costs are told where they are known; the results are what was asked for. */
  async #cost(batchId: string): Promise<string> {
    const client = this.#context.client();
    try {
      const query = { tag: `batch=${batchId}` };
      const body = await client.ask({ ...this.#quick, method: 'GET', path: '/admin/costs', query });
      const { totalCost, recordCount, unpricedCount } = parseBody(costsBody, body, client.url);
      return recordCount === unpricedCount ? '' : ` for ${renderUsd(totalCost.usdNanos)}`;
    } catch (error) {
      if (this.#signal.aborted) throw error;
      return '';
    }
  }

  get #quick() {
    return { headers: this.#headers, signal: this.#signal, timeoutMs: ADMIN_TIMEOUT_MS };
  }

  get #headers() {
    const { priority, timeoutMs, tenant } = this.#options;
    return {
      'x-switchgear-priority': priority,
      'x-switchgear-timeout-ms': timeoutMs?.toString(),
      'x-switchgear-tenant': tenant,
    };
  }

  /** The same file with the same model is the same batch. */
  get #key(): string {
    const { key, model = '' } = this.#options;
    return key ?? `file:${this.#input.digest}:${encodeURIComponent(model).slice(0, 128)}`;
  }

  async #tell(text: string): Promise<void> {
    if (!this.#context.isJson) await this.#context.shell.stderr.write(`${text}\n`);
  }
}

function refused(path: string, batch: BatchBody): CliFailure {
  const problems = problemsOf(batch);
  const shown = problems.slice(0, PROBLEMS_SHOWN).join('; ');
  const more = problems.length > PROBLEMS_SHOWN ? `; and ${problems.length - PROBLEMS_SHOWN} more` : '';
  return new CliFailure(EXIT.request, `nothing was run, ${path} is at fault: ${shown}${more}`, {
    document: { batchId: batch.id, status: batch.status, errors: batch.errors?.data ?? [] },
  });
}
