/**
 * An adapter as a user would write one: for a wire of its own (lines of JSON over plain HTTP), against the exported port
 * alone, with Node's own fetch. It passes the same contract suite as ours with no change in the runtime.
 */
import type {
  Adapter,
  AdapterCall,
  AdapterDeps,
  AdapterPart,
  AdapterReply,
  Failure,
} from '../../src/contract/adapter.ts';
import type { ProviderConfig } from '../../src/contract/config.ts';
import type { FailureKind } from '../../src/contract/failures.ts';
import type { ScriptedFailure, WireScripts } from '../contracts/upstream.ts';

/** One line of an answer. */
type EchoLine =
  | { readonly say: string }
  | { readonly call: { readonly id: string; readonly name: string; readonly arguments: string } }
  | { readonly end: AdapterReply['finishReason']; readonly tokens: AdapterReply['usage'] }
  | { readonly fail: FailureKind; readonly why: string };

class EchoError extends Error {
  readonly kind: FailureKind;
  readonly retryAfterMs: number | undefined;
  readonly isMaybeBilled: boolean;

  constructor(
    kind: FailureKind,
    message: string,
    details: { readonly retryAfterMs?: number | undefined; readonly isMaybeBilled?: boolean } = {},
  ) {
    super(message);
    this.kind = kind;
    this.retryAfterMs = details.retryAfterMs;
    this.isMaybeBilled = details.isMaybeBilled ?? false;
  }
}

export function createEchoAdapter(config: ProviderConfig, _deps: AdapterDeps): Adapter {
  const ask = async (
    path: string,
    call: Pick<AdapterCall, 'credential' | 'signal'>,
    body: unknown,
  ): Promise<Response> => {
    const response = await fetch(`${config.baseURL ?? ''}${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      signal: call.signal,
      redirect: 'manual',
      headers: { 'x-echo-key': call.credential.apiKey ?? '' },
    }).catch((error: unknown) => {
      throw call.signal.aborted ? new EchoError('abandoned', 'abandoned') : new EchoError('connection', String(error));
    });
    if (!response.headers.get('content-type')?.includes('json'))
      throw new EchoError('false-success', 'answered with a page');
    if (response.ok) return response;
    const { fail, why }: { fail: FailureKind; why: string } = await response.json();
    const seconds = response.headers.get('retry-after');
    throw new EchoError(fail, why, { retryAfterMs: seconds === null ? undefined : Number(seconds) * 1_000 });
  };

  async function* stream(call: AdapterCall): AsyncGenerator<AdapterPart> {
    const response = await ask('/say', call, { messages: call.request.messages, stream: true });
    try {
      for await (const line of linesOf(response)) yield* partsOf(line);
    } catch (error) {
      if (call.signal.aborted) throw new EchoError('abandoned', 'abandoned');
      if (error instanceof EchoError) throw error;
      throw new EchoError('broken', 'the answer broke', { isMaybeBilled: true });
    }
  }

  return {
    send: async (call) => {
      const response = await ask('/say', call, { messages: call.request.messages, stream: false });
      const lines: readonly EchoLine[] = await response.json().catch((error: unknown) => {
        throw call.signal.aborted ? new EchoError('abandoned', 'abandoned') : new EchoError('broken', String(error));
      });
      return joinParts(lines.flatMap((line) => [...partsOf(line)]));
    },
    stream,
    check: async (call) => void (await ask('/', call, {})),
    classify: (error) => classify(error, config),
    supports: (feature) => ['completion', 'stream', 'tools'].includes(feature),
  };
}

async function* linesOf(response: Response): AsyncGenerator<EchoLine> {
  let pending = '';
  for await (const text of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const lines = (pending + text).split('\n');
    pending = lines.pop() ?? '';
    for (const line of lines) yield JSON.parse(line);
  }
}

function* partsOf(line: EchoLine): Generator<AdapterPart> {
  if ('fail' in line) throw new EchoError(line.fail, line.why, { isMaybeBilled: true });
  if ('say' in line && line.say !== '') yield { type: 'text', text: line.say };
  if ('call' in line) yield { type: 'toolCall', ...line.call };
  if ('end' in line) {
    yield { type: 'usage', usage: line.tokens };
    yield { type: 'finish', finishReason: line.end };
  }
}

function joinParts(parts: readonly AdapterPart[]): AdapterReply {
  return {
    text: parts.map((part) => (part.type === 'text' ? part.text : '')).join(''),
    toolCalls: parts.flatMap((part) =>
      part.type === 'toolCall' ? [{ id: part.id, name: part.name, arguments: part.arguments }] : [],
    ),
    usage: parts.find((part) => part.type === 'usage')?.usage ?? {},
    finishReason: parts.find((part) => part.type === 'finish')?.finishReason ?? 'other',
  };
}

function classify(error: unknown, config: ProviderConfig): Failure {
  try {
    if (error instanceof Error && error.name === 'AbortError')
      return { kind: 'abandoned', message: `${config.name}: abandoned` };
    if (!(error instanceof EchoError)) return { kind: 'adapter-error', message: `${config.name}: failed` };
    const message = config.credentials.reduce(
      (text, { apiKey }) => (apiKey === undefined ? text : text.replaceAll(apiKey, '…')),
      error.message,
    );
    return {
      kind: error.kind,
      message: `${config.name}: ${message}`,
      ...(error.retryAfterMs !== undefined && { retryAfterMs: error.retryAfterMs }),
      ...(error.isMaybeBilled && { isMaybeBilled: true }),
    };
  } catch {
    return { kind: 'adapter-error', message: `${config.name}: failed with something that cannot be read` };
  }
}

const renderLine = (line: EchoLine): string => `${JSON.stringify(line)}\n`;

const STATUS: Readonly<Record<ScriptedFailure, number>> = {
  'rate-limited': 429,
  'quota-exhausted': 402,
  unauthorized: 401,
  'model-not-found': 404,
  'context-too-long': 413,
  'content-filtered': 400,
  'invalid-request': 400,
  'upstream-error': 500,
  overloaded: 503,
};

/** The same wire from the server's side. */
export const echoWire: WireScripts = {
  streamType: 'application/x-json-lines',
  malformedPiece: '{"say": \n',
  isStream: (_request, body) => JSON.parse(body).stream === true,
  renderAnswer: (answer) => `[${echoWire.renderStream(answer).join(',')}]`,
  renderStream: (answer) => [
    renderLine({ say: '' }),
    renderLine({ say: answer.text.slice(0, 5) }),
    renderLine({ say: answer.text.slice(5) }),
    ...(answer.toolCalls ?? []).map((call) => renderLine({ call })),
    renderLine({ end: answer.finishReason, tokens: answer.usage }),
  ],
  renderFailure: (failure, echo) => ({
    status: STATUS[failure],
    body: renderLine({ fail: failure, why: `refused ${echo}` }),
  }),
  renderFailureInside: (failure) => renderLine({ fail: failure, why: 'broke' }),
  respondOther: (path) => (path === '/' ? '{}' : undefined),
};
