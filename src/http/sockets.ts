/** Bounds what sockets may occupy, and answers those that do not speak HTTP. */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { HttpLimits } from './edge.ts';
import { HttpRefusal, toFailure } from './failure.ts';
import { isLoopbackName } from './guard.ts';
import { openaiWire } from './openai/wire.ts';
import { failureHeaders } from './response-headers.ts';

/** Limits sockets in all, and per address but for loopback, which stands for every program of this machine. */
export function boundSockets(server: Server, limits: HttpLimits): void {
  server.maxConnections = limits.socketsMax;
  const open = new Map<string, number>();
  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress;
    if (address === undefined || isLoopbackName(address)) return;
    const count = (open.get(address) ?? 0) + 1;
    open.set(address, count);
    socket.once('close', () => {
      const left = (open.get(address) ?? 1) - 1;
      if (left > 0) open.set(address, left);
      else open.delete(address);
    });
    if (count > limits.socketsPerAddressMax) socket.destroy();
  });
}

/** Answers bytes that are no request, or that came too slowly, and closes the socket. */
export function answerClientError(error: { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const failure = toFailure(toRefusal(error.code), (message) => message);
  const body = JSON.stringify(openaiWire.renderFailure(failure));
  const head = [
    `HTTP/1.1 ${failure.status} ${STATUS_TEXTS[failure.status] ?? 'Bad Request'}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    ...Object.entries(failureHeaders(failure, openaiWire)).map(([name, value]) => `${name}: ${value}`),
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

const STATUS_TEXTS: Readonly<Record<number, string>> = {
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
};

function toRefusal(code: string | undefined): HttpRefusal {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new HttpRefusal(408, 'expected the request to arrive in time, got: a part of it');
    case 'HPE_HEADER_OVERFLOW':
      return new HttpRefusal(431, 'expected the headers to be at most 16 KiB long, got: more');
    default:
      return new HttpRefusal(400, 'expected an HTTP request, got: something malformed');
  }
}
