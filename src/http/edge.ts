/** What every route of the HTTP edge is given: the service behind it, and the bounds it keeps. */
import type { Clock } from '../contract/clock.ts';
import type { ResolvedConfig } from '../contract/config.ts';
import type { Service } from '../contract/service.ts';
import type { Scrub } from './failure.ts';

/** Bounds of the edge; nothing that a client can occupy is without one (R10). */
export interface HttpLimits {
  /** To receive a request's headers. */
  readonly headersTimeoutMs: number;
  /** To receive a whole request, body included; Node stops counting when it has arrived, so answers may take longer. */
  readonly requestTimeoutMs: number;
  /** How often Node looks for requests that are overdue. */
  readonly checkIntervalMs: number;
  /** An idle kept-alive socket lives this long. */
  readonly keepAliveTimeoutMs: number;
  readonly socketsMax: number;
  /** Per remote address other than loopback. */
  readonly socketsPerAddressMax: number;
  /** Of an uploaded file, whose lines are bounded like bodies. */
  readonly fileBytesMax: number;
  /** Nested arrays and objects in a body. */
  readonly bodyDepthMax: number;
  /** A comment is sent into a stream that has been silent this long, so that proxies keep it open. */
  readonly heartbeatMs: number;
  /** A reader of a stream who takes nothing for this long is disconnected. */
  readonly readerStallMs: number;
}

export const HTTP_LIMITS: HttpLimits = {
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  checkIntervalMs: 5_000,
  keepAliveTimeoutMs: 72_000,
  socketsMax: 2_000,
  socketsPerAddressMax: 100,
  fileBytesMax: 100 * 1024 * 1024,
  bodyDepthMax: 100,
  heartbeatMs: 15_000,
  readerStallMs: 120_000,
};

export interface Edge {
  readonly service: Service;
  readonly config: ResolvedConfig;
  readonly clock: Clock;
  readonly limits: HttpLimits;
  readonly scrub: Scrub;
}
