/** Everything is healed: what is open ends, what is down comes back, the books agree, and nothing is left. */
import type { Service } from '../../src/contract/service.ts';
import { revive } from './disturbances.ts';
import type { Mortality } from './mortality.ts';
import { HOUR_MS } from './plan.ts';
import { advance } from './steps.ts';
import type { World } from './world.ts';

/** Every wait that weather can cause is over after this. */
const HEALING_MS = 24 * HOUR_MS;
const PROBE_EVERY_MS = 2_000;
/** The longest pause between two processes, the longest stop, and a store that hangs. */
const START_MS = 600_000;

/** Heals a world, and checks that it comes to rest. */
export async function comeToRest(world: World, mortality: Mortality): Promise<void> {
  const { chronicle, clock, callers, story } = world;
  chronicle.note('everything is healed');
  for (const upstream of world.upstreams) upstream.isHealed = true;
  world.illness.heal();
  world.injector.isHealed = true;
  mortality.isOver = true;
  world.isHealed = true;
  const service = await lastService(world);
  if (service === undefined) return;
  // An actor that is about to restart cannot be revived yet.
  await advance(world, clock.nowMs() + 120_000);
  checkSiblings(world, service);
  await revive(service, chronicle);
  for (const { name } of world.plan.providers) await recover(world, service, name);
  const untilMs = clock.nowMs() + HEALING_MS;
  const isBusy = () => service.queueStatus().open + service.queueStatus().parked > 0;
  while (world.isClean && isBusy() && clock.nowMs() < untilMs) await advance(world, clock.nowMs() + 60_000);
  if (!world.isClean) return;
  await clock.waitFor(callers.submissions.collect());
  chronicle.expect(
    callers.submissions.unsettled === 0,
    'promise 12: everything acknowledged ends',
    () => `${callers.submissions.unsettled} do not`,
  );
  chronicle.expect(story.openCount === 0, 'every request ends', () => `${story.openCount} do not`);
  callers.submissions.isOver = true;
  checkStore(world);
  await audit(world, service);
  checkRest(world, service);
  mortality.close();
  await clock.waitFor(service.stop());
  await clock.advance(HOUR_MS);
  chronicle.expect(clock.pendingTimers === 0, 'nothing is left', () => `${clock.pendingTimers} timers are`);
}

/** Where actors crash and nothing else happens, each was started again as often as it crashed, and nobody else was. */
function checkSiblings({ plan, injector, chronicle }: World, service: Service): void {
  if (plan.disturbances.crashPoints === undefined) return;
  const providers = service.supervisor.children().flatMap(({ children = [] }) => children);
  const actors = service.supervisor.children().filter(({ children }) => children === undefined);
  for (const { id, restarts, state } of [...actors, ...providers]) {
    const crashes = injector.crashes.get(id) ?? injector.crashes.get(`provider/${id}`) ?? 0;
    chronicle.expect(
      restarts === crashes && state === 'running',
      'who crashes starts again, and nobody else does',
      () => `${id} is ${state} after ${crashes} crashes and ${restarts} restarts`,
    );
  }
}

/** The process after which no other comes. */
async function lastService(world: World): Promise<Service | undefined> {
  const { clock, chronicle } = world;
  const untilMs = clock.nowMs() + START_MS;
  while (world.isClean && clock.nowMs() < untilMs) {
    const service = world.life?.service;
    if (service?.state === 'running') return service;
    await advance(world, clock.nowMs() + 1_000);
  }
  chronicle.expect(!world.isClean, 'a process starts over a store that is well', () => 'none does');
  return undefined;
}

/** A healthy provider answers within its open time and two probes, and closes its breaker. */
async function recover(world: World, service: Service, name: string): Promise<void> {
  const { clock, chronicle, callers, breakers } = world;
  const state = service.providerStates()[name];
  const gateMs = Math.min(...(state?.credentials ?? []).map(({ heldForMs = 0 }) => heldForMs));
  const openMs = state?.breaker.nextProbeAt === undefined ? 0 : state.breaker.nextProbeAt - clock.wallMs();
  const quarantineMs = state?.quarantinedModels.length === 0 ? 0 : 600_000;
  // A probe that was under way when all was healed may still fail: a lease and one more opening.
  const untilMs = clock.nowMs() + Math.max(gateMs, openMs, quarantineMs) + 60_000 + 360_000 + 30_000;
  const upstream = world.upstream(name);
  const { answers } = upstream;
  while (world.isClean && clock.nowMs() < untilMs) {
    const probe = callers.probe(name);
    await advance(world, clock.nowMs() + PROBE_EVERY_MS);
    await clock.waitFor(probe);
    // Who is answered may be somebody who has waited for longer than the probe.
    if (breakers.get(name)?.state === 'closed' && upstream.answers > answers) return;
  }
  chronicle.expect(
    !world.isClean,
    'promise 4: a healthy provider is used again',
    () => `${name} is ${JSON.stringify(service.providerStates()[name])}`,
  );
}

/** What nobody was promised may lie in the store until the next process finds it. */
function checkStore({ watch, chronicle }: World): void {
  const left = watch?.open().filter(({ isAcknowledged }) => isAcknowledged) ?? [];
  chronicle.expect(left.length === 0, 'promise 12: everything acknowledged ends in the store', () =>
    JSON.stringify(left),
  );
}

/** Promise 21: the ledger is the sum of what was attempted, to the nano-dollar. */
async function audit({ clock, story, watch, chronicle }: World, service: Service): Promise<void> {
  const { totalCost } = await clock.waitFor(service.costSummary());
  watch?.ledger.compare(story.spent);
  const expected = watch?.ledger.totalNanos ?? story.spentNanos;
  chronicle.expect(
    BigInt(totalCost.usdNanos) === expected,
    'promise 21: the ledger is exact',
    () => `the ledger says ${totalCost.usdNanos}, the attempts say ${expected}`,
  );
}

function checkRest({ chronicle }: World, service: Service): void {
  const { lanes, open, parked } = service.queueStatus();
  const inFlight = Object.values(service.providerStates()).map(({ concurrency }) => concurrency.inFlight);
  const left = [
    open,
    parked,
    service.openRequests().length,
    ...inFlight,
    ...lanes.flatMap((lane) => [lane.waiting, lane.running]),
  ];
  chronicle.expect(
    left.every((count) => count === 0),
    'nothing is left',
    () => JSON.stringify({ open, parked, lanes, inFlight }),
  );
}
