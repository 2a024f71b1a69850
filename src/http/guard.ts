/**
 * Refuses requests that a web page, a rebound name or a smuggler made. A page of another origin can make a browser send
 * requests here, and a name it controls may resolve to loopback; the browser then still says which origin and which host it
 * believes to talk to. Admin routes are for this machine only.
 */
import { isIPv4 } from 'node:net';
import type { FastifyRequest } from 'fastify';
import { HttpRefusal } from './failure.ts';

/** Two of these in one request mean that two readers may disagree about it. */
const SINGLE_HEADERS = ['host', 'content-length', 'authorization', 'x-api-key'];
const PROXY_HEADERS = ['forwarded', 'x-forwarded-for', 'x-real-ip'];

/** Checks one request before its body is read. @throws {HttpRefusal} 400, 403 */
export function createGuard(boundHost: string): (request: FastifyRequest) => void {
  const isLocalServer = isLoopbackName(boundHost);
  return (request) => {
    refuseDuplicates(request.raw.rawHeaders);
    const host = request.headers.host ?? '';
    // The route that matched, not the URL, which may write the same path in many ways.
    const isAdmin = request.routeOptions.url?.startsWith('/admin') === true;
    const isNamedRight = isLoopbackName(hostnameOf(host)) || hostnameOf(host) === boundHost.toLowerCase();
    if ((isLocalServer || isAdmin) && !isNamedRight) {
      throw new HttpRefusal(
        403,
        'expected the Host header to name this machine (localhost or 127.0.0.1), got: another name',
        'host',
      );
    }
    refuseForeignOrigin(request.headers.origin, host);
    if (isAdmin) refuseRemote(request);
  };
}

/** Whether a host name or address can only mean this machine. */
export function isLoopbackName(name: string): boolean {
  const bare = name
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/^::ffff:/, '');
  return bare === 'localhost' || bare === '::1' || (isIPv4(bare) && bare.startsWith('127.'));
}

function refuseDuplicates(rawHeaders: readonly string[]): void {
  const names = rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
  const twice = SINGLE_HEADERS.find((name) => names.indexOf(name) !== names.lastIndexOf(name));
  if (twice !== undefined) throw new HttpRefusal(400, `expected ${twice} to be sent once, got: several`, twice);
}

function refuseForeignOrigin(origin: string | undefined, host: string): void {
  if (origin === undefined) return;
  const isOwn = URL.canParse(origin) && new URL(origin).host === host.toLowerCase();
  if (!isOwn)
    throw new HttpRefusal(403, 'expected the Origin header to be absent or this server, got: another origin', 'origin');
}

/** Loopback is not enough when a proxy on this machine speaks for others. */
function refuseRemote(request: FastifyRequest): void {
  const isProxied = PROXY_HEADERS.some((name) => request.headers[name] !== undefined);
  const isLocal = isLoopbackName(request.raw.socket.remoteAddress ?? '');
  if (isLocal && !isProxied) return;
  const found = isLocal ? 'a call through a proxy, which may speak for anybody' : 'another one';
  throw new HttpRefusal(403, `expected admin routes to be called from this machine, got: ${found}`);
}

/** `[::1]:80` to `[::1]`, `name:80` to `name`. */
function hostnameOf(host: string): string {
  return host.toLowerCase().replace(/:\d*$/, '');
}
