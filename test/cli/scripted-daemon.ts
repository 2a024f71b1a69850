/** An HTTP server that answers what a test has scripted, and remembers what it was asked. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Question {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}

export type Script = (question: Question, response: ServerResponse) => void;

export interface ScriptedDaemon extends AsyncDisposable {
  readonly url: string;
  readonly questions: readonly Question[];
  /** Resolves when a client has closed its connection before the answer was whole. */
  readonly abandoned: Promise<void>;
}

/** Starts one on a free port of loopback. */
export async function startScriptedDaemon(script: Script): Promise<ScriptedDaemon> {
  const questions: Question[] = [];
  const abandoned = Promise.withResolvers<void>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('close', () => {
      if (!response.writableFinished) abandoned.resolve();
    });
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      const body: unknown = text === '' ? undefined : JSON.parse(text);
      const question = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body };
      questions.push(question);
      script(question, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // It listens on TCP.
  return {
    url: `http://127.0.0.1:${port}`,
    questions,
    abandoned: abandoned.promise,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Answers everything alike. */
export function always(status: number, body: unknown, headers: Record<string, string> = {}): Script {
  return (_question, response) => reply(response, status, body, headers);
}

export function reply(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

/** A chat completion that says `text`. */
export function completionOf(text: string | null, finishReason = 'stop', more: object = {}): object {
  return {
    id: 'chatcmpl-1',
    object: 'chat.completion',
    model: 'm',
    choices: [{ index: 0, message: { role: 'assistant', content: text, ...more }, finish_reason: finishReason }],
    usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
  };
}

/** A chunk of a streamed chat completion. */
export function chunkOf(text: string, finishReason: string | null = null): string {
  return JSON.stringify({
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta: { content: text }, finish_reason: finishReason }],
  });
}
