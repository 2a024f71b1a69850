/**
 * What the two wire formats have in common: a body becomes a question, an answer becomes a body or the events of a
 * stream. Everything that spoils an answer works on these, so that each fault is written once for both.
 */
import type { ParsedToolChoice } from '../contract/request.ts';
import type { CallableTool } from '../adapters/mock/tool-rule.ts';
import type { Problem } from './problems.ts';

export type WireName = 'openai' | 'anthropic';

/** What a completion request asks for, whichever wire it came by. */
export interface Question {
  readonly model: string;
  /** Text of the last message. */
  readonly prompt: string;
  readonly isToolResult: boolean;
  /** The last message is the assistant's, to be continued. */
  readonly hasPrefill: boolean;
  /** Words of all texts in the request. */
  readonly inputTokens: number;
  readonly isStream: boolean;
  /** Whether a stream tells its usage. */
  readonly wantsUsage: boolean;
  readonly maxTokens: number | undefined;
  readonly tools: readonly CallableTool[];
  readonly toolChoice: ParsedToolChoice | undefined;
  /** JSON is asked for; `schema` undefined: any. */
  readonly json: { readonly schema: Readonly<Record<string, unknown>> | undefined } | undefined;
  /** Answers in one body. */
  readonly choices: number;
}

export interface AnsweredCall {
  readonly id: string;
  readonly name: string;
  /** JSON, in tokens. */
  readonly tokens: readonly string[];
}

export type Finish = 'stop' | 'length' | 'tool-calls' | 'content-filter';

/** A whole answer, before anything spoils it. */
export interface Answer {
  /** Unique per request, for ids. */
  readonly number: number;
  readonly model: string;
  /** Name of the simulator, which the answer carries so that a test can tell whose it is. */
  readonly source: string;
  readonly createdSeconds: number;
  /** The text, in tokens. */
  readonly tokens: readonly string[];
  readonly calls: readonly AnsweredCall[];
  readonly choices: number;
  /** Undefined: left out. */
  readonly finish: Finish | undefined;
  /** Undefined: left out. */
  readonly usage: { readonly inputTokens: number; readonly outputTokens: number } | undefined;
}

/** One server-sent event. */
export interface Frame {
  readonly kind: 'open' | 'token' | 'finish' | 'usage' | 'close';
  /** Undefined: the event has no name. */
  readonly event: string | undefined;
  /** JSON, or `[DONE]`. */
  readonly content: string;
}

export type ParsedQuestion =
  | { readonly kind: 'question'; readonly question: Question }
  | { readonly kind: 'problem'; readonly problem: Problem };

/** One wire format. */
export interface Wire {
  readonly name: WireName;
  /** Header that carries the request id. */
  readonly idHeader: string;
  parse(body: unknown): ParsedQuestion;
  renderWhole(answer: Answer): unknown;
  renderFrames(answer: Answer): readonly Frame[];
  /** The body of an error, which in a stream is an event. */
  renderProblem(problem: Problem, requestId: string): unknown;
  renderProblemFrame(problem: Problem, requestId: string): Frame;
  statusOf(problem: Problem): number;
  renderModels(models: readonly string[]): unknown;
}

/** Writes an event as it goes over the wire. */
export function writeFrame(frame: Frame): string {
  return `${frame.event === undefined ? '' : `event: ${frame.event}\n`}data: ${frame.content}\n\n`;
}
