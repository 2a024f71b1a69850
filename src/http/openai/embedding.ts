/** The embeddings API: body to request, response to a list of vectors, as numbers or as base64 of little-endian floats. */
import { z } from 'zod';
import type { EmbeddingRequest } from '../../contract/request.ts';
import type { EmbeddingResponse } from '../../contract/response.ts';
import { check, integerBetween, type JsonObject, jsonObject, refuse, text } from '../check.ts';
import { findRoutingField, WireFieldCollector } from '../wire-fields.ts';

export interface ParsedEmbeddingCall {
  readonly request: EmbeddingRequest;
  readonly isBase64: boolean;
}

const INPUTS_MAX = 2_048;
const DIMENSIONS_MAX = 65_536;
const BYTES_PER_FLOAT = 4;

const bodySchema = z.looseObject({
  model: text(),
  input: z.union([text(), z.array(z.unknown()).min(1).max(INPUTS_MAX)], {
    error: `a string or an array of 1 to ${INPUTS_MAX} strings`,
  }),
  dimensions: integerBetween(1, DIMENSIONS_MAX).nullish(),
  encoding_format: z.enum(['float', 'base64'], { error: 'float or base64' }).nullish(),
});
/** Token ids mean different words to every model, so they could not fail over. */
const inputSchema = text('a non-empty string (token ids are not supported, send text)');

const MODELLED: ReadonlySet<string> = new Set(['model', 'input', 'dimensions', 'encoding_format']);
const HARMLESS: ReadonlySet<string> = new Set(['user']);

/** @throws {SwitchgearError} `invalid-request` naming the field */
export function parseEmbedding(value: unknown): ParsedEmbeddingCall {
  const body = check(bodySchema, check(jsonObject, value, 'body'), '');
  const routing = findRoutingField(body);
  if (routing !== undefined)
    throw refuse(routing, 'absent, because the configuration decides where requests go', body[routing]);
  const input =
    typeof body.input === 'string'
      ? body.input
      : body.input.map((item, index) => check(inputSchema, item, `input[${index}]`));
  const rest: JsonObject = Object.fromEntries(
    Object.entries(body).filter(([name]) => !MODELLED.has(name) && !HARMLESS.has(name)),
  );
  return {
    request: {
      model: body.model,
      input,
      ...(typeof body.dimensions === 'number' && { dimensions: body.dimensions }),
      ...new WireFieldCollector('openai').finish(rest),
    },
    isBase64: body.encoding_format === 'base64',
  };
}

export function renderEmbedding(response: EmbeddingResponse, isBase64: boolean): unknown {
  return {
    object: 'list',
    data: response.vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: isBase64 ? encodeFloats(vector) : vector,
    })),
    model: response.model,
    usage: { prompt_tokens: response.usage.inputTokens ?? null, total_tokens: response.usage.inputTokens ?? null },
  };
}

function encodeFloats(vector: readonly number[]): string {
  const bytes = Buffer.alloc(vector.length * BYTES_PER_FLOAT);
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * BYTES_PER_FLOAT);
  return bytes.toString('base64');
}
