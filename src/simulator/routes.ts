/**
 * What each address answers while nothing spoils it. Every refusal that a healthy upstream knows is here: a wrong key, an
 * unknown model, a body it does not understand.
 */
import { anthropicWire } from './anthropic-wire.ts';
import { buildAnswer } from './answer.ts';
import { parseEmbedding, renderEmbedding, type EmbeddingQuestion } from './embeddings.ts';
import { parseFault, type Fault } from './faults.ts';
import { openaiWire } from './openai-wire.ts';
import { createProblem, type Problem } from './problems.ts';
import type { Rendering } from './reply.ts';
import type { Answer, Question, Wire } from './wire.ts';

/** What an address is for, and in which words it answers. */
export interface Route {
  readonly wire: Wire;
  readonly kind: 'completion' | 'embedding' | 'models' | 'unknown';
}

/** Models listed when every name is a model. */
const modelsDefault = ['sim-large', 'sim-small'];

/** Finds the route of a request. Without an API's own header an address that both APIs have is OpenAI's. */
export function findRoute(method: string, path: string, hasAnthropicVersion: boolean): Route {
  const wire = hasAnthropicVersion ? anthropicWire : openaiWire;
  switch (`${method} ${path}`) {
    case 'GET /v1/models':
      return { wire, kind: 'models' };
    case 'POST /v1/chat/completions':
      return { wire: openaiWire, kind: 'completion' };
    case 'POST /v1/embeddings':
      return { wire: openaiWire, kind: 'embedding' };
    case 'POST /v1/messages':
      return { wire: anthropicWire, kind: 'completion' };
    default:
      return { wire, kind: 'unknown' };
  }
}

/** What is asked, parsed as far as its route knows. */
export type Asked =
  | { readonly kind: 'completion'; readonly question: Question }
  | { readonly kind: 'embedding'; readonly embedding: EmbeddingQuestion }
  | { readonly kind: 'models' }
  | { readonly kind: 'problem'; readonly problem: Problem };

/** Parses a body for its route. */
export function parseAsked(route: Route, body: unknown): Asked {
  switch (route.kind) {
    case 'completion':
      return parseCompletion(route.wire, body);
    case 'embedding':
      return parseEmbedding(body);
    case 'models':
      return { kind: 'models' };
    case 'unknown':
      return { kind: 'problem', problem: createProblem('not-found') };
  }
}

function parseCompletion(wire: Wire, body: unknown): Asked {
  const parsed = wire.parse(body);
  if (parsed.kind === 'problem') return parsed;
  if (parsed.question.choices > 1 && parsed.question.isStream) {
    const problem = createProblem('invalid-request', {
      message: "Invalid 'n': the simulator streams one choice only.",
      param: 'n',
    });
    return { kind: 'problem', problem };
  }
  return { kind: 'completion', question: parsed.question };
}

/** Refuses a model that is not among `models`, unless it is named after a fault. */
export function refuseModel(model: string, models: readonly string[] | undefined): Problem | undefined {
  const named = parseFault(model);
  const isKnown =
    named.kind !== 'mistake' && (named.kind === 'fault' || models === undefined || models.includes(model));
  if (isKnown) return undefined;
  const why = named.kind === 'mistake' ? `; a fault is named ${named.expected}` : ' or you do not have access to it';
  return createProblem('model', { message: `The model '${model}' does not exist${why}.`, param: 'model' });
}

export interface AnsweringQuestion {
  readonly asked: Exclude<Asked, { kind: 'problem' }>;
  readonly wire: Wire;
  readonly fault: Fault | undefined;
  readonly source: string;
  readonly number: number;
  readonly createdSeconds: number;
  readonly outputTokens: number;
  readonly models: readonly string[] | undefined;
}

/** Renders what a healthy upstream would send, already without what the fault leaves out. */
export function renderAsked({ asked, wire, fault, models, ...circumstances }: AnsweringQuestion): Rendering {
  if (asked.kind === 'models') return { kind: 'whole', body: wire.renderModels(models ?? modelsDefault), tokens: 0 };
  if (asked.kind === 'embedding') return { kind: 'whole', body: renderEmbedding(asked.embedding, fault), tokens: 0 };
  const { question } = asked;
  if (fault?.kind === 'no-prefill' && question.hasPrefill)
    return { kind: 'problem', problem: createProblem('prefill') };
  const answer = spoilAnswer(buildAnswer({ question, ...circumstances }), fault);
  if (!question.isStream || fault?.kind === 'json-for-stream') {
    const tokens = answer.tokens.length + answer.calls.reduce((sum, call) => sum + call.tokens.length, 0);
    return { kind: 'whole', body: wire.renderWhole(answer), tokens };
  }
  return { kind: 'stream', frames: wire.renderFrames(question.wantsUsage ? answer : { ...answer, usage: undefined }) };
}

function spoilAnswer(answer: Answer, fault: Fault | undefined): Answer {
  switch (fault?.kind) {
    case 'no-finish':
      return { ...answer, finish: undefined };
    case 'no-usage':
      return { ...answer, usage: undefined };
    case 'filtered':
      return { ...answer, finish: 'content-filter' };
    case 'empty':
      return {
        ...answer,
        tokens: [],
        calls: [],
        choices: 0,
        usage: answer.usage && { ...answer.usage, outputTokens: 0 },
      };
    default:
      return answer;
  }
}
