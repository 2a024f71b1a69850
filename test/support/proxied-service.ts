/**
 * A service whose provider `up` is reached through a fault proxy: what breaks on the way breaks there, and nothing is tried
 * twice unless a test wants it. It asks one question in every shape and says what came back, so that a test can compare it
 * with the answer that was sent.
 */
import { startService } from '../../src/compose.ts';
import type { ProviderInput, SwitchgearConfig } from '../../src/config/input.ts';
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { RequestOptions } from '../../src/contract/request.ts';
import type { CompletionResponse } from '../../src/contract/response.ts';
import type { Service } from '../../src/contract/service.ts';
import { openUpstream, type Respond, type UpstreamServer } from '../contracts/upstream.ts';
import { type FaultProxy, openFaultProxy } from './fault-proxy.ts';
import { evenClock, upstreamInput } from './socket-service.ts';
import { HELLO } from './test-runtime.ts';
import type { WireName } from './staged-upstream.ts';

export type Mode = 'streamed' | 'unstreamed';

/** What a caller got. */
export interface Received {
  /** The text of the parts that reached the caller, or of the whole answer. */
  readonly text: string;
  readonly response: CompletionResponse | undefined;
  readonly error: SwitchgearError | undefined;
}

export interface ProxiedService extends AsyncDisposable {
  readonly service: Service;
  readonly proxy: FaultProxy;
  readonly upstream: UpstreamServer;
  readonly ask: (mode: Mode, options?: RequestOptions) => Promise<Received>;
}

/** Asks once, and never opens the breaker of a provider that has answered once. */
const ONCE: Partial<ProviderInput> = {
  retry: { maxRetries: 0 },
  breaker: { windowMs: 3_600_000, minimumCalls: 1, failureRate: 1, consecutiveFailures: 10_000 },
};

/** Ends the connection with each answer, because faults belong to connections. */
export function answerOnce(respond: Respond): Respond {
  return (request, response, raw) => {
    response.setHeader('connection', 'close');
    respond(request, response, raw);
  };
}

export interface ProxiedOptions {
  readonly up?: Partial<ProviderInput>;
  /** A second provider for the same model, which reaches the same upstream without the proxy. */
  readonly spare?: Partial<ProviderInput>;
  readonly service?: SwitchgearConfig['service'];
}

/** Starts upstream, proxy and service. */
export async function startProxiedService(
  wire: WireName,
  respond: Respond,
  { up = {}, spare, service: settings = {} }: ProxiedOptions = {},
): Promise<ProxiedService> {
  const resources = new AsyncDisposableStack();
  const upstream = resources.adopt(await openUpstream(respond), (server) => server.close());
  const proxy = resources.use(await openFaultProxy(upstream.url));
  const providers = {
    up: upstreamInput(wire, proxy.url, { ...ONCE, ...up }),
    ...(spare !== undefined && { spare: upstreamInput(wire, upstream.url, { ...ONCE, priority: 2, ...spare }) }),
  };
  const started = await startService({ providers, service: settings }, { clock: evenClock, env: {} });
  const service = resources.adopt(started, () => started.stop({ graceMs: 0 }));
  return {
    service,
    proxy,
    upstream,
    ask: (mode, options = {}) => (mode === 'streamed' ? askStreamed(service, options) : askWhole(service, options)),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

async function askWhole(service: Service, options: RequestOptions): Promise<Received> {
  try {
    const response = await service.completion(HELLO, options);
    return { text: response.text, response, error: undefined };
  } catch (error) {
    return { text: '', response: undefined, error: asOurs(error) };
  }
}

async function askStreamed(service: Service, options: RequestOptions): Promise<Received> {
  let text = '';
  let response: CompletionResponse | undefined;
  try {
    for await (const part of service.completionStream(HELLO, options)) {
      if (part.type === 'text') text += part.text;
      if (part.type === 'finish') response = part.response;
    }
    return { text, response, error: undefined };
  } catch (error) {
    return { text, response, error: asOurs(error) };
  }
}

function asOurs(error: unknown): SwitchgearError {
  if (error instanceof SwitchgearError) return error;
  throw new Error('expected every failure to be a SwitchgearError, got: another error', { cause: error });
}
