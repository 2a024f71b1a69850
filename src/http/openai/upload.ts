/**
 * Takes a file out of a multipart form as it comes. A form is what a page of another site can send without asking: the guard
 * refuses a foreign Origin, and a browser that says the request came from another site is refused here.
 */
import type { MultipartFile } from '@fastify/multipart';
import type { FastifyRequest } from 'fastify';
import type { StoredFile } from '../../contract/batches.ts';
import type { Edge } from '../edge.ts';
import { HttpRefusal } from '../failure.ts';

const PURPOSE = 'batch';
const NAME_LENGTH_MAX = 255;
const FIELD_BYTES_MAX = 1_024;
const FIELDS_MAX = 10;
/** What a form has around its file. */
const FRAME_BYTES_MAX = 65_536;

/** What is read of a form. */
export const FORM_LIMITS = {
  files: 1,
  fields: FIELDS_MAX,
  fieldSize: FIELD_BYTES_MAX,
  fieldNameSize: 100,
  parts: FIELDS_MAX + 1,
  headerPairs: 20,
};

/** Refuses, before a byte of it is read, what may not be sent or is too large. @throws {HttpRefusal} 403, 413, 415 */
export function guardUpload({ headers }: FastifyRequest, bytesMax: number): void {
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none')
    throw new HttpRefusal(
      403,
      'expected a file to be sent by a program or by a page of this server, got: another page',
    );
  if (!/^multipart\/form-data\s*;/i.test(headers['content-type'] ?? ''))
    throw new HttpRefusal(415, 'expected content-type to be multipart/form-data, got: another or none');
  if (Number(headers['content-length'] ?? 0) > bytesMax + FRAME_BYTES_MAX) throw tooLarge(bytesMax);
}

/** Stores the file of a form. @throws {HttpRefusal} 400, 413 */
export async function takeUpload(
  request: FastifyRequest,
  { service, limits }: Pick<Edge, 'service' | 'limits'>,
  tenant: string | undefined,
): Promise<StoredFile> {
  const form = new Form(request, limits.fileBytesMax);
  const file = await form.readToFile();
  const name = (file.filename ?? '').slice(0, NAME_LENGTH_MAX) || 'upload.jsonl';
  return service.batches.createFile({ name, purpose: PURPOSE, tenant }, form.readFile(file));
}

class Form {
  readonly #parts: ReturnType<FastifyRequest['parts']>;
  readonly #bytesMax: number;
  #purpose: unknown;

  constructor(request: FastifyRequest, bytesMax: number) {
    this.#parts = request.parts({ limits: { fileSize: bytesMax } });
    this.#bytesMax = bytesMax;
  }

  /** Clients put the fields before the file or behind it. */
  async readToFile(): Promise<MultipartFile> {
    for (;;) {
      const next = await this.#next();
      if (next === undefined) throw new HttpRefusal(400, 'expected the form to have a file, got: none', 'file');
      if (next.type === 'file') return next;
    }
  }

  /** What is wrong with the rest of the form is thrown behind the last chunk, and the file is forgotten. */
  async *readFile(part: MultipartFile): AsyncGenerator<Uint8Array, void> {
    if (part.fieldname !== 'file') throw new HttpRefusal(400, 'expected the file to be the field file', 'file');
    yield* readBytes(part);
    if (part.file.truncated) throw tooLarge(this.#bytesMax);
    while ((await this.#next()) !== undefined) {
      // Fields are noted as they are read.
    }
    if (this.#purpose !== PURPOSE) {
      const what = this.#purpose === undefined ? 'nothing' : 'another one';
      throw new HttpRefusal(400, `expected purpose to be ${PURPOSE}, got: ${what}`, 'purpose');
    }
  }

  async #next() {
    try {
      const next = await this.#parts.next();
      if (next.done === true) return undefined;
      if (next.value.type === 'field' && next.value.fieldname === 'purpose') this.#purpose = next.value.value;
      return next.value;
    } catch {
      throw malformed();
    }
  }
}

async function* readBytes({ file }: MultipartFile): AsyncGenerator<Uint8Array, void> {
  try {
    for await (const chunk of file) yield chunk as Uint8Array; // Without encoding it yields buffers.
  } catch {
    throw malformed();
  }
}

function malformed(): HttpRefusal {
  return new HttpRefusal(400, 'expected the form to be well-formed with one file, got: something else');
}

function tooLarge(bytesMax: number): HttpRefusal {
  const message = `expected the file to be at most ${bytesMax} bytes long, got: more; split it into several batches`;
  return new HttpRefusal(413, message, 'file');
}
