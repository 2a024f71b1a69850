/**
 * A TCP proxy for tests, in the manner of toxiproxy, that spoils what an upstream answers: it knows bytes and sockets, and
 * nothing of HTTP. Faults are set while it runs and hold for the connections made from then on; they act in the order they
 * are listed. What the client sends is passed on as it is.
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export type Fault =
  /** Takes the connection and everything sent on it, and never answers. */
  | { readonly kind: 'black-hole' }
  /** Holds back each piece of the answer. */
  | { readonly kind: 'latency'; readonly ms: number }
  /** Cuts the answer into pieces of these sizes, over and over, each in a packet of its own. */
  | { readonly kind: 'slice'; readonly sizes: readonly number[] }
  /** Passes `bytes` every `everyMs`. */
  | { readonly kind: 'drip'; readonly bytes: number; readonly everyMs: number }
  /** Lets so many bytes of the answer through, then ends the connection: with FIN, with RST, or by saying nothing more. */
  | { readonly kind: 'cut'; readonly afterBytes: number; readonly by: 'end' | 'reset' | 'silence' };

export interface FaultProxy extends AsyncDisposable {
  readonly url: string;
  /** Faults of the connections made from now on. */
  faults: readonly Fault[];
  /** Faults of the next connection alone. */
  next: readonly Fault[] | undefined;
  /** What was passed on over the connection made last. */
  readonly passed: Buffer;
  /** Connections of clients open now. */
  readonly connections: () => number;
  /** Resets every connection that is open now. */
  readonly resetAll: () => void;
}

/** Opens a proxy in front of `upstreamUrl`. */
export async function openFaultProxy(upstreamUrl: string): Promise<FaultProxy> {
  const target = Number(new URL(upstreamUrl).port);
  const clients = new Set<Socket>();
  let passed: Buffer[] = [];
  const server = createServer({ noDelay: true }, (client) => {
    const faults = proxy.next ?? proxy.faults;
    proxy.next = undefined;
    const own: Buffer[] = [];
    passed = own;
    clients.add(client);
    client.on('error', () => undefined).on('close', () => clients.delete(client));
    if (faults.some(({ kind }) => kind === 'black-hole')) return void client.resume();
    void relay(client, target, faults, (piece) => own.push(piece));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A listening TCP server has an address.
  const { port } = server.address() as AddressInfo;
  const proxy: FaultProxy = {
    url: `http://127.0.0.1:${port}`,
    faults: [],
    next: undefined,
    get passed() {
      return Buffer.concat(passed);
    },
    connections: () => clients.size,
    resetAll: () => {
      for (const client of clients) client.resetAndDestroy();
    },
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const client of clients) client.destroy();
      }),
  };
  return proxy;
}

/** A step on the way of an answer: bytes in, bytes out. */
type Stage = (bytes: AsyncIterable<Buffer>) => AsyncIterable<Buffer>;

const STAGES = {
  latency: ({ ms }: Extract<Fault, { kind: 'latency' }>): Stage =>
    async function* (bytes) {
      for await (const piece of bytes) {
        await pause(ms);
        yield piece;
      }
    },
  slice: ({ sizes }: Extract<Fault, { kind: 'slice' }>): Stage =>
    async function* (bytes) {
      let turn = 0;
      for await (const piece of bytes) {
        for (let start = 0; start < piece.length;) {
          const size = Math.max(1, sizes[turn++ % sizes.length] ?? 1);
          yield piece.subarray(start, start + size);
          start += size;
        }
      }
    },
  drip: ({ bytes: size, everyMs }: Extract<Fault, { kind: 'drip' }>): Stage =>
    async function* (bytes) {
      for await (const piece of bytes) {
        for (let start = 0; start < piece.length; start += size) {
          await pause(everyMs);
          yield piece.subarray(start, start + size);
        }
      }
    },
  cut: ({ afterBytes }: Extract<Fault, { kind: 'cut' }>): Stage =>
    async function* (bytes) {
      let left = afterBytes;
      if (left === 0) return;
      for await (const piece of bytes) {
        yield piece.subarray(0, left);
        left -= piece.length;
        if (left <= 0) return;
      }
    },
} as const;

function stageOf(fault: Fault): Stage {
  switch (fault.kind) {
    case 'black-hole':
      return (bytes) => bytes;
    case 'latency':
      return STAGES.latency(fault);
    case 'slice':
      return STAGES.slice(fault);
    case 'drip':
      return STAGES.drip(fault);
    case 'cut':
      return STAGES.cut(fault);
  }
}

/** Carries one connection. Never rejects: whoever breaks off first ends it for both. */
async function relay(
  client: Socket,
  port: number,
  faults: readonly Fault[],
  note: (piece: Buffer) => void,
): Promise<void> {
  const upstream = connect({ port, host: '127.0.0.1', noDelay: true });
  upstream.on('error', () => undefined);
  client.pipe(upstream);
  client.on('close', () => upstream.destroy());
  try {
    let answer: AsyncIterable<Buffer> = upstream;
    for (const fault of faults) answer = stageOf(fault)(answer);
    for await (const piece of answer) {
      note(piece);
      await send(client, piece);
    }
  } catch {
    // The upstream broke off, and so does the proxy.
    client.resetAndDestroy();
  }
  await end(client, faults);
  upstream.destroy();
}

/** Resolves when the piece has left and whoever reads in this process has had a turn to read it. */
async function send(client: Socket, piece: Buffer): Promise<void> {
  if (client.destroyed) return;
  await new Promise<void>((resolve) => client.write(piece, () => resolve()));
  await new Promise((resolve) => setImmediate(resolve));
}

async function end(client: Socket, faults: readonly Fault[]): Promise<void> {
  const cut = faults.find((fault) => fault.kind === 'cut');
  switch (cut?.by) {
    case undefined:
    case 'end':
      return void client.end();
    case 'reset':
      return void client.resetAndDestroy();
    case 'silence':
      return new Promise((resolve) => client.once('close', () => resolve()));
  }
}

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
