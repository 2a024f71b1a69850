/** The OpenAI wire's embeddings: a vector per text that depends on nothing but the text. */
import { z } from 'zod';
import { dimensionsMax, embedText } from '../adapters/mock/vectors.ts';
import { countWords } from './answer.ts';
import type { Fault } from './faults.ts';
import { createProblem, type Problem } from './problems.ts';

/** Most texts of one request. */
const inputsMax = 2_048;
const dimensionsDefault = 256;

const inputSchema = z.union([
  z.string(),
  z
    .array(z.union([z.string(), z.array(z.int())]))
    .min(1)
    .max(inputsMax),
  z.array(z.int()).min(1),
]);
const embeddingSchema = z.looseObject({
  model: z.string().min(1),
  input: inputSchema,
  dimensions: z.int().min(1).max(dimensionsMax).nullish(),
  encoding_format: z.enum(['float', 'base64']).nullish(),
});

/** What an embedding request asks for. */
export interface EmbeddingQuestion {
  readonly model: string;
  readonly inputs: readonly string[];
  readonly dimensions: number;
  /** Vectors as 32-bit floats in base64, which the SDK asks for unless told otherwise. */
  readonly isBase64: boolean;
}

export type ParsedEmbeddingQuestion =
  | { readonly kind: 'embedding'; readonly embedding: EmbeddingQuestion }
  | { readonly kind: 'problem'; readonly problem: Problem };

/** Parses a body. */
export function parseEmbedding(body: unknown): ParsedEmbeddingQuestion {
  const parsed = embeddingSchema.safeParse(body);
  if (!parsed.success) {
    const param = parsed.error.issues[0]?.path.join('.') ?? '';
    return {
      kind: 'problem',
      problem: createProblem('invalid-request', {
        message: `Invalid '${param}': ${parsed.error.issues[0]?.message ?? ''}`,
        param,
      }),
    };
  }
  const { model, input, dimensions, encoding_format: encoding } = parsed.data;
  return {
    kind: 'embedding',
    embedding: {
      model,
      inputs: listInputs(input),
      dimensions: dimensions ?? dimensionsDefault,
      isBase64: encoding === 'base64',
    },
  };
}

function listInputs(input: z.infer<typeof inputSchema>): readonly string[] {
  if (typeof input === 'string') return [input];
  // A list of numbers is one text in tokens; lists of them are many.
  if (typeof input[0] === 'number') return [input.join(' ')];
  return input.map((text) => (Array.isArray(text) ? text.join(' ') : String(text)));
}

/** Renders the answer, already without what the fault leaves out. */
export function renderEmbedding(
  { model, inputs, dimensions, isBase64 }: EmbeddingQuestion,
  fault: Fault | undefined,
): unknown {
  const words = inputs.reduce((sum, text) => sum + countWords(text), 0);
  const vectors = fault?.kind === 'empty' ? [] : inputs.map((text) => embedText(text, dimensions));
  return {
    object: 'list',
    data: vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: isBase64 ? Buffer.from(new Float32Array(vector).buffer).toString('base64') : vector,
    })),
    model,
    ...(fault?.kind !== 'no-usage' && { usage: { prompt_tokens: words, total_tokens: words } }),
  };
}
