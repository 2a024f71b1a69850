/**
 * Reads the input file of a batch. What makes a line no line of this batch (no JSON, no custom_id or one that was there
 * before, another url) fails the whole batch before anything is sent, as it does at OpenAI; a body that cannot be served
 * fails its own request only.
 */
import { z } from 'zod';
import type { BatchInput, BatchProblem, LineRefusal } from '../../contract/batches.ts';
import { SwitchgearError } from '../../contract/errors.ts';
import type { CompletionRequest, EmbeddingRequest, FeatureHeaders } from '../../contract/request.ts';
import { parseBody } from '../body.ts';
import { type JsonObject, refuse } from '../check.ts';
import { HttpRefusal } from '../failure.ts';
import { parseEmbedding } from './embedding.ts';
import { parseChatCompletion } from './parse.ts';
import { readTextLines, type TextLine } from './text-lines.ts';

const CUSTOM_ID_LENGTH_MAX = 512;

/** What requests a batch may hold, and how their bodies are read. */
const ENDPOINTS = {
  '/v1/chat/completions': { kind: 'completion', parse: parseCompletionLine },
  '/v1/embeddings': { kind: 'embedding', parse: parseEmbeddingLine },
} as const;

export type BatchEndpoint = keyof typeof ENDPOINTS;

// The keys of a literal are the names that it was written with.
export const BATCH_ENDPOINTS = Object.keys(ENDPOINTS) as BatchEndpoint[];

export function kindOf(endpoint: BatchEndpoint): 'completion' | 'embedding' {
  return ENDPOINTS[endpoint].kind;
}

export function endpointOf(kind: 'completion' | 'embedding'): BatchEndpoint {
  return kind === 'completion' ? '/v1/chat/completions' : '/v1/embeddings';
}

export interface InputLimits {
  readonly lineLengthMax: number;
  readonly depthMax: number;
}

export interface InputReading {
  readonly endpoint: BatchEndpoint;
  readonly limits: InputLimits;
  /** For requests that name none. */
  readonly model?: string | undefined;
  /** Sent with every request. */
  readonly featureHeaders?: FeatureHeaders;
}

/** One input for each line that is not blank. */
export async function* readBatchInputs(
  chunks: AsyncIterable<Uint8Array>,
  reading: InputReading,
): AsyncGenerator<BatchInput, void> {
  const known = new Map<string, number>();
  for await (const line of readTextLines(chunks, reading.limits.lineLengthMax)) {
    if ('text' in line && line.text.trim() === '') continue;
    yield readInput(line, known, reading);
  }
}

function readInput(line: TextLine, known: Map<string, number>, reading: InputReading): BatchInput {
  const { number } = line;
  try {
    const { custom_id: customId, body } = readFrame(line, reading);
    const earlier = known.get(customId);
    if (earlier !== undefined) {
      const message = `expected custom_id to be unique in the batch, got: the one of line ${earlier}`;
      throw new LineProblem('duplicate_custom_id', message, 'custom_id');
    }
    known.set(customId, number);
    return readRequest(customId, withModel(body, reading.model), number, reading);
  } catch (error) {
    if (!(error instanceof LineProblem)) throw error;
    return { problem: error.at(number) };
  }
}

/** Why a line is none. */
class LineProblem extends Error {
  readonly code: string;
  readonly param: string | undefined;

  constructor(code: string, message: string, param?: string) {
    super(message);
    this.code = code;
    this.param = param;
  }

  at(line: number): BatchProblem {
    const { code, message, param } = this;
    return { code, message, line, ...(param !== undefined && { param }) };
  }
}

const frameSchema = z.looseObject({
  custom_id: z.string().min(1).max(CUSTOM_ID_LENGTH_MAX),
  method: z.literal('POST'),
  url: z.string(),
  body: z.record(z.string(), z.unknown()),
});

/** What is wrong with a field that is there. */
const FIELD_FAULTS: Readonly<Record<string, readonly [code: string, what: string]>> = {
  custom_id: ['invalid_custom_id', `a string of 1 to ${CUSTOM_ID_LENGTH_MAX} characters`],
  method: ['invalid_method', 'POST'],
  url: ['invalid_url', 'a string'],
  body: ['invalid_body', 'an object'],
};

function readFrame(line: TextLine, { endpoint, limits }: InputReading): z.infer<typeof frameSchema> {
  const value = readJson(line, limits);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new LineProblem('invalid_json_line', 'expected the line to be a JSON object, got: another value');
  const parsed = frameSchema.safeParse(value);
  if (!parsed.success) throw frameProblem(value, String(parsed.error.issues[0]?.path[0]));
  if (parsed.data.url !== endpoint) {
    const message = `expected url to be the endpoint of the batch (${endpoint}), got: another one`;
    throw new LineProblem('invalid_url', message, 'url');
  }
  return parsed.data;
}

function frameProblem(value: object, param: string): LineProblem {
  const [code, what] = FIELD_FAULTS[param] ?? ['invalid_line', 'as the batch wants it'];
  const isMissing = !Object.hasOwn(value, param);
  const message = `expected ${param} to be ${what}, got: ${isMissing ? 'nothing' : 'something else'}`;
  return new LineProblem(isMissing ? 'missing_required_parameter' : code, message, param);
}

function readJson(line: TextLine, { lineLengthMax, depthMax }: InputLimits): unknown {
  if ('fault' in line && line.fault === 'too-long')
    throw new LineProblem('line_too_long', `expected a line to be at most ${lineLengthMax} bytes long, got: more`);
  if ('fault' in line) throw new LineProblem('invalid_json_line', 'expected the line to be UTF-8, got: other bytes');
  try {
    return parseBody(line.text, depthMax);
  } catch (error) {
    if (!(error instanceof HttpRefusal)) throw error;
    throw new LineProblem('invalid_json_line', error.message.replace('the body', 'the line'));
  }
}

function readRequest(customId: string, body: unknown, number: number, reading: InputReading): BatchInput {
  try {
    const request = ENDPOINTS[reading.endpoint].parse(body);
    const { featureHeaders } = reading;
    return { customId, request: { ...request, ...(featureHeaders !== undefined && { featureHeaders }) } };
  } catch (error) {
    if (!(error instanceof SwitchgearError)) throw error;
    return { customId, refusal: refusalOf(error, number) };
  }
}

function withModel(body: JsonObject, model: string | undefined): JsonObject {
  const named = body['model'] ?? model;
  return named === undefined ? body : { ...body, model: named };
}

function refusalOf({ message, param }: SwitchgearError, number: number): LineRefusal {
  return { code: 'invalid-request', message: `line ${number}: ${message}`, ...(param !== undefined && { param }) };
}

function parseCompletionLine(body: unknown): CompletionRequest {
  const call = parseChatCompletion(body);
  if (call.isStream) throw refuse('stream', 'absent from a batch', true);
  if (call.unstreamedOnly !== undefined)
    throw refuse(call.unstreamedOnly, 'absent from a batch, whose stored answers cannot hold it', 'set');
  return call.request;
}

function parseEmbeddingLine(body: unknown): EmbeddingRequest {
  const call = parseEmbedding(body);
  if (call.isBase64) throw refuse('encoding_format', 'float or absent in a batch', 'base64');
  return call.request;
}
