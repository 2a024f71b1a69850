/**
 * Figures of the breaker, counted in the whole runtime:
 *
 *   npm run simulate:statistics                       everything; about twenty minutes
 *   npm run simulate:statistics -- --seeds 100 --days 0.1
 */
import { parseArgs } from 'node:util';
import { SteadyWorld } from './steady-world.ts';

const DAY_MS = 86_400_000;
const HEALTHY_MS = 600_000;
const OUTAGE_MS = 300_000;

const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '1000' }, days: { type: 'string', default: '1' } },
});
const seeds = Number(values.seeds);
const days = Number(values.days);

/** Trips while one call in five fails, which is no outage. */
async function countFalseTrips(ratePerSecond: number, daysLong: number, maxRetries: number): Promise<string> {
  const world = await SteadyWorld.create({
    seed: 1,
    ratePerSecond,
    maxRetries,
    luck: (_nowMs, dice) => (dice.chance(0.2) ? 'fail' : 'answer'),
  });
  await world.clock.advance(daysLong * DAY_MS);
  const { trips, openings, calls } = world;
  await world[Symbol.asyncDispose]();
  const perDay = (trips / daysLong).toFixed(1);
  return `${ratePerSecond}/s, ${maxRetries} retries, ${daysLong} days: ${calls.length} calls, ${trips} false trips (${perDay} a day), ${openings.length - trips} failed probes after them`;
}

/** How an outage is seen, and how it is got over. */
async function timeOutages(ratePerSecond: number, kind: 'fail' | 'silence', count: number): Promise<string> {
  const [callsUntilSeen, secondsUntilSeen, secondsUntilBack]: number[][] = [[], [], []];
  let unseen = 0;
  for (let seed = 1; seed <= count; seed++) {
    const world = await SteadyWorld.create({
      seed,
      ratePerSecond,
      luck: (nowMs) => (nowMs >= HEALTHY_MS && nowMs < HEALTHY_MS + OUTAGE_MS ? kind : 'answer'),
    });
    await world.clock.advance(HEALTHY_MS + OUTAGE_MS + 600_000);
    const opened = world.openings.find((atMs) => atMs >= HEALTHY_MS);
    const healthyAtMs = HEALTHY_MS + OUTAGE_MS;
    const back = world.calls.find(({ endedAtMs, isAnswered }) => isAnswered && (endedAtMs ?? 0) > healthyAtMs);
    if (opened === undefined) unseen += 1;
    else {
      const ended = world.calls.filter(({ endedAtMs = Infinity }) => endedAtMs <= opened);
      const lastAnswerAtMs = Math.max(
        0,
        ...ended.filter(({ isAnswered }) => isAnswered).map(({ endedAtMs = 0 }) => endedAtMs),
      );
      callsUntilSeen?.push(ended.filter(({ endedAtMs = 0 }) => endedAtMs > lastAnswerAtMs).length);
      secondsUntilSeen?.push((opened - HEALTHY_MS) / 1_000);
    }
    secondsUntilBack?.push(((back?.endedAtMs ?? Infinity) - healthyAtMs) / 1_000);
    await world[Symbol.asyncDispose]();
  }
  const spread = (figures: readonly number[] = []) => {
    const sorted = figures.toSorted((one, other) => one - other);
    return `median ${sorted[sorted.length >> 1]?.toFixed(1)}, most ${sorted.at(-1)?.toFixed(1)}`;
  };
  return [
    `${ratePerSecond}/s, ${kind}, ${count} seeds (${unseen} not seen)`,
    ...(kind === 'fail' ? [`  calls that failed after the last answer: ${spread(callsUntilSeen)}`] : []),
    `  seconds until it opened: ${spread(secondsUntilSeen)}`,
    `  seconds from health to the first answer: ${spread(secondsUntilBack)}`,
  ].join('\n');
}

const print = (text: string) => process.stdout.write(`${text}\n`);
print('one call in five fails:');
for (const maxRetries of [0, 2])
  for (const [rate, times] of [
    [0.05, 20],
    [1, 1],
    [20, 1],
  ] as const)
    print(`  ${await countFalseTrips(rate, days * times, maxRetries)}`);
print('total outages of five minutes after ten minutes of health:');
for (const kind of ['fail', 'silence'] as const) {
  print(await timeOutages(1, kind, seeds));
  print(await timeOutages(20, kind, Math.ceil(seeds / 20)));
}
