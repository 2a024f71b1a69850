/** Where the daemon listens: who may reach it there, how an address is written, and what to do when it cannot be had. */
import { once } from 'node:events';
import { createServer, isIP } from 'node:net';
import { isLoopback } from '../config/loopback.ts';
import type { ConfigProblem } from '../contract/config.ts';

/**
 * What is wrong with a host that others can reach, while callers need no key. Undefined for one that only this machine can,
 * or that the operator accepts.
 */
export function findHostProblem(path: string, host: string, isAccepted: boolean): ConfigProblem | undefined {
  if (isAccepted || isLoopback(host)) return undefined;
  return {
    path,
    message:
      `expected a loopback address, got: ${host}: callers need no key yet, so everybody who reaches this host could ` +
      'spend your money. Put a proxy with authentication in front, or pass --allow-unauthenticated',
  };
}

/** The address as a URL; an address that means "all interfaces" is named by the loopback one, which can be called. */
export function renderUrl(host: string, port: number): string {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${isIP(reachable) === 6 ? `[${reachable}]` : reachable}:${port}`;
}

/** Tries to listen, and stops at once. Undefined when it worked, else what to tell. Never rejects. */
export async function findListenProblem(host: string, port: number): Promise<string | undefined> {
  const server = createServer();
  try {
    server.listen({ host, port });
    await once(server, 'listening');
    return undefined;
  } catch (error) {
    return explainListenError(error, host, port);
  } finally {
    server.close();
  }
}

/** Says why listening failed and what to do about it. */
export function explainListenError(error: unknown, host: string, port: number): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'EADDRINUSE':
      return `port ${port} on ${host} is taken: stop what listens there, or choose another with --port N or http.port`;
    case 'EACCES':
      return `expected port to be one that this user may listen on, got: ${port}: choose one above 1023 with --port N`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `expected host to be an address of this machine, got: ${host}: choose another with --host or http.host`;
    default:
      return `cannot listen on ${host}:${port}: ${error instanceof Error ? error.message : String(error)}`;
  }
}
