/**
 * The connections to one upstream. undici's fetch and undici's agents belong together; Node's built-in fetch refuses them.
 * Time limits other than the connect limit are the caller's own signals, hence the raised limits here.
 *
 * undici lets a connection that is being made go on when the request it is made for is aborted, until the connect limit. At
 * an upstream that accepts and says nothing, callers who come and leave would pile up sockets that nobody waits for. So a
 * call brings its signal along, and a connection in the making ends with it.
 */
import { type LookupFunction, Socket } from 'node:net';
import { Agent, type buildConnector, Client, type Dispatcher, fetch as undiciFetch, Pool, ProxyAgent } from 'undici';

export type Fetch = typeof globalThis.fetch;

/** The way to one upstream: a `fetch` over connections of its own. */
export interface Connections {
  readonly fetch: Fetch;
  /** Lets requests in flight finish and closes the connections. */
  close(): Promise<void>;
}

export interface ConnectionOptions {
  readonly connectMs: number;
  /** Bytes on the wire of one answer, streamed or not. Undefined: whoever reads it counts. */
  readonly responseBytesMax?: number;
  /** URL of a forward proxy. It resolves the names itself, and the operator chose it. */
  readonly proxy?: string | undefined;
  /** Undefined: a name may lead anywhere. */
  readonly lookup?: LookupFunction | undefined;
}

/** Opens the connections to one upstream; none is made before the first call. */
export function openConnections(options: ConnectionOptions): Connections {
  const dispatcher = createDispatcher(options);
  return {
    fetch: (input, init) => sendByUndici(input, init, bringSignal(dispatcher, init?.signal ?? undefined)),
    close: () => dispatcher.close(),
  };
}

function createDispatcher({ connectMs, responseBytesMax, proxy, lookup }: ConnectionOptions): Dispatcher {
  const limits = {
    headersTimeout: 0,
    bodyTimeout: 0,
    ...(responseBytesMax !== undefined && { maxResponseSize: responseBytesMax }),
    // One request, one socket: aborting a request then closes it.
    allowH2: false,
  };
  const connect = { timeout: connectMs };
  if (proxy !== undefined)
    return new ProxyAgent({ uri: proxy, ...limits, connectTimeout: connectMs, proxyTls: connect, requestTls: connect });
  const factory = (origin: string | URL, options: object): Pool =>
    new Pool(origin, { ...options, factory: (url, clientOptions) => new Connection(url, clientOptions) });
  return new Agent({ ...limits, factory, connect: lookup === undefined ? connect : { ...connect, lookup } });
}

/** What a dispatcher is asked, with the signal of the call that asks. */
interface SignalledOptions extends Dispatcher.DispatchOptions {
  readonly callSignal?: AbortSignal | undefined;
}

/** A dispatcher for one call: hands the call's signal to the connection it is dispatched to. */
function bringSignal(dispatcher: Dispatcher, callSignal: AbortSignal | undefined): Pick<Dispatcher, 'dispatch'> {
  return {
    dispatch: (options, handler) => {
      const signalled: SignalledOptions = { ...options, callSignal };
      return dispatcher.dispatch(signalled, handler);
    },
  };
}

/** One connection. It carries one request at a time, so the request it is being made for is the one dispatched last. */
class Connection extends Client {
  readonly #latest: { signal: AbortSignal | undefined };

  constructor(origin: URL, options: Client.Options) {
    const latest: { signal: AbortSignal | undefined } = { signal: undefined };
    const { connect } = options;
    if (typeof connect !== 'function') throw new TypeError('expected the pool to bring its connector, got: none');
    super(origin, {
      ...options,
      connect: (target, callback) => {
        connectFor(latest.signal, connect, { target, callback });
      },
    });
    this.#latest = latest;
  }

  override dispatch(options: SignalledOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.#latest.signal = options.callSignal;
    return super.dispatch(options, handler);
  }
}

/** Makes a connection while `signal` is not aborted. */
function connectFor(
  signal: AbortSignal | undefined,
  connect: buildConnector.connector,
  { target, callback }: { target: buildConnector.Options; callback: buildConnector.Callback },
): void {
  const giveUp = (): void => {
    if (socket instanceof Socket) socket.destroy(new Error('nobody waits for this connection any more'));
  };
  const socket: unknown = connect(target, (...made) => {
    signal?.removeEventListener('abort', giveUp);
    callback(...made);
  });
  if (signal?.aborted === true) giveUp();
  else signal?.addEventListener('abort', giveUp, { once: true });
}

function sendByUndici(
  input: Parameters<Fetch>[0],
  init: RequestInit | undefined,
  dispatcher: Pick<Dispatcher, 'dispatch'>,
): Promise<Response> {
  // undici's fetch and the built-in one are the same code in two versions; their types differ only by declaration.
  const send = undiciFetch as unknown as (
    input: Parameters<Fetch>[0],
    init: RequestInit & { dispatcher: Pick<Dispatcher, 'dispatch'> },
  ) => Promise<Response>;
  return send(input, { ...init, dispatcher });
}
