/** The two files of `batch run`: the input, known again by its content, and the output, which appears whole or not at all. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { EXIT } from '../daemon/exit-code.ts';
import { resultLine } from './batch-wire.ts';
import { CliFailure } from './failure.ts';

const ENDPOINT_DEFAULT = '/v1/chat/completions';
/** Failures that are named; the output has all of them. */
const NAMED_MAX = 5;

export interface InputFile {
  readonly path: string;
  readonly digest: string;
  /** What the first request is sent to. */
  readonly endpoint: string;
}

/** Reads the input once. @throws {CliFailure} when it cannot be read */
export async function readInputFile(path: string): Promise<InputFile> {
  try {
    const info = await stat(path);
    if (!info.isFile()) throw new CliFailure(EXIT.usage, `expected ${path} to be a file, got something else`);
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array); // Without encoding it yields buffers.
    return { path, digest: hash.digest('hex'), endpoint: await readEndpoint(path) };
  } catch (error) {
    if (error instanceof CliFailure) throw error;
    throw new CliFailure(EXIT.usage, `cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** What is wrong with the file is the daemon's to say. */
async function readEndpoint(path: string): Promise<string> {
  const lines = createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY });
  try {
    for await (const line of lines) {
      if (line.trim() === '') continue;
      const value: unknown = JSON.parse(line.replace(/^\uFEFF/, ''));
      const url = typeof value === 'object' && value !== null && 'url' in value ? value.url : undefined;
      return typeof url === 'string' ? url : ENDPOINT_DEFAULT;
    }
  } catch {
    return ENDPOINT_DEFAULT;
  } finally {
    lines.close();
  }
  return ENDPOINT_DEFAULT;
}

/** Where the output goes. @throws {CliFailure} when that is the input */
export function outputPath(input: string, output: string | undefined): string {
  const extension = extname(input);
  const path = output ?? join(dirname(input), `${basename(input, extension)}.output${extension || '.jsonl'}`);
  if (resolve(path) === resolve(input))
    throw new CliFailure(EXIT.usage, 'expected --output to be another file than the input, got the input');
  return path;
}

interface Written {
  readonly lines: number;
  /** custom_id and reason of the first that did not succeed. */
  readonly failures: readonly string[];
}

/** Writes results beside their place and moves them there when all `total` lines are there. @throws {CliFailure} */
export async function writeOutput(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  total: number,
): Promise<readonly string[]> {
  const draft = `${path}.${process.pid}.part`;
  const tally = new Tally();
  try {
    const file = await open(draft, 'w').catch(asOutputFailure(path));
    try {
      for await (const chunk of chunks) {
        tally.add(chunk);
        await file.writeFile(chunk).catch(asOutputFailure(path));
      }
      await file.sync().catch(asOutputFailure(path));
    } finally {
      await file.close();
    }
    const { lines, failures } = tally.end();
    if (lines !== total)
      throw new CliFailure(EXIT.protocol, `expected the results to have ${total} lines, got ${lines}: run it again`);
    await rename(draft, path).catch(asOutputFailure(path));
    return failures;
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

function asOutputFailure(path: string) {
  return (error: unknown): never => {
    throw new CliFailure(EXIT.output, `cannot write ${path}: ${messageOf(error)}`, { cause: error });
  };
}

/** Counts lines as they go by. */
class Tally {
  readonly #decoder = new TextDecoder();
  readonly #failures: string[] = [];
  #rest = '';
  #lines = 0;

  add(chunk: Uint8Array): void {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#note(line);
  }

  end(): Written {
    if (this.#rest !== '') this.#note(this.#rest);
    return { lines: this.#lines, failures: this.#failures };
  }

  #note(line: string): void {
    this.#lines += 1;
    if (this.#failures.length === NAMED_MAX) return;
    const parsed = resultLine.safeParse(readJson(line));
    if (!parsed.success) return;
    const { custom_id: customId, response, error } = parsed.data;
    const fault = error ?? response?.body?.error;
    if (fault === null || fault === undefined) return;
    this.#failures.push(`${customId}: ${fault.code ?? 'failed'}`);
  }
}

function readJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
