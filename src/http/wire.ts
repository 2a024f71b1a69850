/**
 * What the edge needs to know of an API it imitates. A wire parses bodies into our own requests and renders our responses,
 * stream parts and failures; which provider answers, and in which wire format that provider was asked, is none of its
 * business. The routes are written once against this.
 */
import type { CompletionRequest } from '../contract/request.ts';
import type { CompletionResponse, RequestId, StreamPart } from '../contract/response.ts';
import type { HttpFailure } from './failure.ts';

export type WireName = 'openai' | 'anthropic';

/** A parsed body: the request, and how its answer is to be rendered. */
export interface ParsedCall {
  readonly request: CompletionRequest;
  readonly isStream: boolean;
  /** A stream ends with the token counts (`stream_options.include_usage`). */
  readonly includesUsage: boolean;
  /** The first field whose effect only an unstreamed answer can carry, for example `n`. */
  readonly unstreamedOnly: string | undefined;
}

/** What is known of a streamed answer before its end. */
export interface StreamStart {
  readonly requestId: RequestId;
  readonly model: string;
  /** Epoch ms. */
  readonly createdAt: number;
  readonly includesUsage: boolean;
}

/** Renders the parts of one stream; keeps what the wire makes it remember, such as block numbers. */
export interface StreamRenderer {
  /** The server-sent events of one part; empty when the wire has no word for it. */
  render(part: StreamPart): string;
  /** The wire's own error event. Nothing follows it. */
  renderFailure(failure: HttpFailure): string;
}

export interface Wire {
  readonly name: WireName;
  /** The header in which clients of this wire look for the request's id. */
  readonly requestIdHeader: string;
  /** @throws {SwitchgearError} `invalid-request` naming the field */
  parse(body: unknown): ParsedCall;
  render(response: CompletionResponse): unknown;
  createStreamRenderer(start: StreamStart): StreamRenderer;
  renderFailure(failure: HttpFailure): unknown;
}
