/**
 * Recorded calls to real APIs, served back from one local server. The recordings lie beside the project; a test that needs
 * them skips with a message where they are missing. Each recording is served under a path of its own, with its status, its
 * content type and its exact body.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

export interface Recording {
  readonly index: number;
  readonly host: string;
  readonly kind: 'chat' | 'messages' | 'embeddings';
  readonly requestBody: string;
  readonly status: number;
  readonly isStream: boolean;
  readonly contentType: string;
  readonly body: string;
}

interface RecordedLine {
  readonly request: { readonly uri: string; readonly body: string };
  readonly response: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string | readonly string[]>>;
    readonly sse: boolean;
    readonly body: string;
  };
}

const RECORDED_FILE = new URL('../../../shared/data/recorded/recorded.jsonl.gz', import.meta.url);
const KINDS = [
  ['/chat/completions', 'chat'],
  ['/messages', 'messages'],
  ['/embeddings', 'embeddings'],
] as const;

export const hasRecordings = existsSync(RECORDED_FILE);

/** The chat completions, messages and embeddings among the recorded calls. */
export function loadRecordings(): readonly Recording[] {
  if (!hasRecordings) return [];
  const lines = gunzipSync(readFileSync(RECORDED_FILE)).toString('utf8').trim().split('\n');
  return lines.flatMap((line, index) => {
    // The format of the file is described beside it; a line of another shape fails the test that reads it.
    const { request, response } = JSON.parse(line) as RecordedLine;
    const [path = ''] = request.uri.split('?');
    const kind = KINDS.find(([suffix]) => path.endsWith(suffix))?.[1];
    if (kind === undefined) return [];
    const contentType = Object.entries(response.headers).find(([name]) => name.toLowerCase() === 'content-type')?.[1];
    return [
      {
        index,
        host: URL.canParse(request.uri) ? new URL(request.uri).host : path.split('/')[0]!.replace(/[<>]/g, ''),
        kind,
        requestBody: request.body,
        status: response.status,
        isStream: response.sse,
        contentType: [contentType].flat()[0] ?? 'application/json',
        body: response.body,
      },
    ];
  });
}

export interface RecordedServer {
  urlOf(recording: Recording): string;
  close(): Promise<void>;
}

/** Serves each recording under `/INDEX/…`; bodies of streams arrive in pieces that respect no boundary. */
export async function openRecordedServer(recordings: readonly Recording[]): Promise<RecordedServer> {
  const byIndex = new Map(recordings.map((recording) => [recording.index, recording]));
  const server = createServer((request, response) => {
    request.resume().on('end', () => answer(byIndex, request, response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A listening TCP server has an address.
  const { port } = server.address() as AddressInfo;
  return {
    urlOf: (recording) => `http://127.0.0.1:${port}/${recording.index}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const PIECE_BYTES = 1_021;

function answer(byIndex: ReadonlyMap<number, Recording>, request: IncomingMessage, response: ServerResponse): void {
  const recording = byIndex.get(Number(request.url?.split('/')[1]));
  if (recording === undefined) return void response.writeHead(500).end();
  response.writeHead(recording.status, { 'content-type': recording.contentType });
  const bytes = Buffer.from(recording.body);
  for (let start = 0; start < bytes.length; start += PIECE_BYTES)
    response.write(bytes.subarray(start, start + PIECE_BYTES));
  response.end();
}
