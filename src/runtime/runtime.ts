/** What the path of a request works with: built once by the composition root, handed to every verb. */
import type { CostControl } from '../actors/cost-tracker.ts';
import type { Announce } from '../actors/announce.ts';
import type { HealthControl } from '../actors/health-monitor.ts';
import type { ProviderControl } from '../actors/provider-control.ts';
import type { ServiceControl } from '../actors/service.ts';
import type { Adapter } from '../contract/adapter.ts';
import type { Catalogue } from '../contract/catalogue.ts';
import type { Clock } from '../contract/clock.ts';
import type { ResolvedConfig } from '../contract/config.ts';
import type { BatchLine, RequestStore } from '../contract/records.ts';
import type { RequestId } from '../contract/response.ts';
import type { Departures } from './queue-retry.ts';
import type { Lookouts } from './lookouts.ts';
import type { OpenTable } from './open-table.ts';
import type { RequestQueue } from './request-queue.ts';

/** A configured upstream at run time. */
export interface Provider {
  readonly control: ProviderControl;
  readonly adapter: Adapter;
}

export interface Runtime {
  readonly clock: Clock;
  readonly announce: Announce;
  /** The config in force; changes with `reload` and `updateProvider`. */
  readonly config: () => ResolvedConfig;
  readonly catalogue: () => Catalogue;
  readonly providers: ReadonlyMap<string, Provider>;
  readonly queue: RequestQueue;
  readonly store: RequestStore;
  readonly costs: CostControl;
  readonly health: HealthControl;
  readonly service: ServiceControl;
  readonly open: OpenTable;
  readonly lookouts: Lookouts;
  /** Parked requests that are about to end, or may have ended: whoever is at it tells how it went. */
  readonly endings: Set<RequestId>;
  readonly departures: Departures;
  /** There may be room for records that wait in the store. */
  readonly feed: () => void;
  /** A request of a batch has ended. */
  readonly noteLineEnded: (line: BatchLine) => void;
  /** A settlement was written, and with it the notice for who is told of it. */
  readonly wakeWebhooks: () => void;
  /** Epoch ms that only go forward: places in line and deadlines that are stored follow from it. */
  readonly steadyWallMs: () => number;
  /** Aborts when the grace of a stop is over, or the root gave up: nothing is worth waiting for any more. */
  readonly ending: AbortSignal;
}
