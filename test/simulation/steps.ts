/** Time goes on in a world, one timer after the other, and after every step its promises are looked at. */
import type { Service } from '../../src/contract/service.ts';
import { readBreaker } from './saved-breaker.ts';
import type { World } from './world.ts';

/** Steps between two looks at providers that nothing happened to. */
const FULL_CHECK_EVERY = 500;

/** Lives until `untilMs`, or until a promise is broken. */
export async function advance(world: World, untilMs: number): Promise<void> {
  const { clock } = world;
  while (world.isClean && (await clock.step(untilMs))) check(world);
  if (world.isClean) await clock.advance(untilMs - clock.nowMs());
  check(world);
}

function check(world: World): void {
  const { upstreams, touched, life } = world;
  world.steps += 1;
  for (const upstream of upstreams) upstream.checkAborts();
  if (world.steps % FULL_CHECK_EVERY === 0) for (const { plan } of upstreams) touched.add(plan.name);
  const service = life?.service;
  if (touched.size === 0 || service === undefined || service.state === 'stopped') return;
  const states = service.providerStates();
  for (const name of touched) {
    const state = states[name];
    // What it is told while it is down or suspended waits for it.
    if (state === undefined || state.isSuspended || isDead(service, name)) continue;
    world.breakers.get(name)?.check(state.breaker.state);
    checkSaved(world, name);
  }
  touched.clear();
}

/** What keeps callers away from a provider is saved in the turn in which it changes. */
function checkSaved({ watch, life, illness, clock, breakers, chronicle, plan }: World, name: string): void {
  const { durability, disturbances } = plan;
  // What was saved by another clock says another moment, until it changes.
  const isClockMoved = durability?.clockMoves === true || disturbances.wallJumpEveryMs !== undefined;
  if (watch === undefined || life === undefined || isClockMoved || illness.wellSinceMs > clock.nowMs()) return;
  const saved = readBreaker(watch.states.get(name), life.wallOffsetMs + clock.nowMs());
  const breaker = breakers.get(name);
  chronicle.expect(
    breaker?.isAsSaved(saved) !== false,
    'a breaker is saved in the turn in which it changes',
    () => `${name} is ${breaker?.describe()}, and saved is ${JSON.stringify(saved)}`,
  );
}

/** Whether a provider's actor is down: what it is told waits in the memory of its process. */
export function isDead(service: Service, name: string): boolean {
  const providers = service.supervisor.children().find(({ id }) => id === 'providers')?.children ?? [];
  return providers.find(({ id }) => id === name)?.state !== 'running';
}
