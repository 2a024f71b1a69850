/**
 * A thousand callers of every kind who leave whenever they like, against two providers over real sockets. When the last one
 * is gone nothing of them is left: no place, no slot, no socket beyond those that are kept alive, no timer, no stray error.
 */
import { expect, test } from 'vitest';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { until } from '../simulator/support.ts';
import { type Caller, DAEMON_CALLERS, LIBRARY_CALLERS } from '../support/leaving-callers.ts';
import { type SocketService, startSocketService, upstreamInput } from '../support/socket-service.ts';
import { propertyRuns } from '../support/properties.ts';
import { directive, openStagedUpstream, type Stage, type StagedUpstream } from '../support/staged-upstream.ts';
import { watchStrayErrors } from '../support/stray-errors.ts';
import { NOTHING_LEFT } from '../support/test-runtime.ts';

const VISITS = 1_000;
/** A few seconds are usual; a machine that does much else needs more. */
const TIME_MAX_MS = 60_000;
const AT_ONCE = 50;
const CONCURRENCY = 20;
const CALLERS = [...LIBRARY_CALLERS, ...DAEMON_CALLERS];
const STAY_MAX_MS = 100;
const STAGES: readonly Stage[] = ['taken', 'opened', 'begun', 'failing', 'dripping', 'answered'];
/** Who leaves only between two parts has to be given one. */
const STAGES_WITH_PARTS: readonly Stage[] = ['begun', 'dripping'];
/** At a random moment, in the very moment the upstream has got where it was told to, or not before the answer. */
const LEAVINGS = ['whenever', 'whenever', 'when reached', 'when answered'] as const;

interface World {
  readonly upstreams: readonly StagedUpstream[];
  readonly target: SocketService;
}

interface Plan {
  readonly caller: Caller;
  readonly stage: Stage;
  readonly model: string;
  readonly mark: string;
  readonly leaving: (typeof LEAVINGS)[number];
  readonly stayMs: number;
}

function planVisits(seed: number): readonly Plan[] {
  const clock = new VirtualClock({ seed });
  const draw = <Value>(values: readonly Value[]): Value => values[Math.floor(clock.random() * values.length)]!;
  return Array.from({ length: VISITS }, (_, index) => {
    const caller = draw(CALLERS);
    const leaving = draw(LEAVINGS);
    const isPatient = leaving === 'when answered' && !caller.needsPart && !caller.isSubmitted;
    return {
      caller,
      stage: isPatient ? 'answered' : draw(caller.needsPart ? STAGES_WITH_PARTS : STAGES),
      model: draw(['one/m', 'two/m', 'both']),
      mark: `visit-${index}`,
      leaving: isPatient || leaving !== 'when answered' ? leaving : 'whenever',
      stayMs: clock.random() * STAY_MAX_MS,
    };
  });
}

/** Comes, leaves as planned unless it was answered before, and waits until it has heard of it. */
async function pay(plan: Plan, { target, upstreams }: World): Promise<void> {
  const { caller, stage, model, mark, leaving, stayMs } = plan;
  const visit = caller.ask(target, { model, content: directive(stage, mark) });
  if (leaving === 'when answered') return void (await visit.ended);
  // Whoever reads `[DONE]` hangs up, which may be before the upstream has said its very last.
  const isReached = () =>
    upstreams.some((upstream) => {
      const asked = upstream.find(mark);
      return asked?.isReached === true || asked?.isOver === true;
    });
  let isEnded = false;
  void visit.ended.then(() => (isEnded = true));
  if (leaving === 'when reached') await until(() => isEnded || isReached(), `the upstream to reach ${mark}`);
  const timer = setTimeout(visit.leave, leaving === 'whenever' ? stayMs : 0);
  await visit.ended;
  clearTimeout(timer);
}

async function payAll(plans: readonly Plan[], world: World): Promise<void> {
  const waiting = plans.values();
  const queue = Array.from({ length: AT_ONCE }, async () => {
    for (const plan of waiting) await pay(plan, world);
  });
  await Promise.all(queue);
}

const countTimers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

/** An answer of each provider to each kind of caller. */
async function askEveryone({ service, openai, anthropic }: SocketService, round: string): Promise<void> {
  for (const model of ['one/m', 'two/m']) {
    const content = directive('answered', `${round}-${model}`);
    const body = { model, max_tokens: 64, messages: [{ role: 'user' as const, content }] };
    expect((await service.completion({ model, messages: body.messages })).finishReason).toBe('stop');
    expect((await service.completionStream({ model, messages: body.messages }).response).finishReason).toBe('stop');
    expect((await openai.chat.completions.create(body)).choices[0]?.finish_reason).toBe('stop');
    expect((await anthropic.messages.stream(body).finalMessage()).stop_reason).toBe('end_turn');
  }
}

async function openWorld(): Promise<World & AsyncDisposable> {
  const resources = new AsyncDisposableStack();
  const one = resources.use(await openStagedUpstream('openai'));
  const two = resources.use(await openStagedUpstream('anthropic'));
  // What fails is retried soon, and never closes a provider that has answered once.
  const input = {
    concurrency: CONCURRENCY,
    retry: { baseMs: 20, capMs: 40 },
    breaker: { minimumCalls: 1, failureRate: 1, consecutiveFailures: 10_000 },
  };
  const target = resources.use(
    await startSocketService({
      providers: { one: upstreamInput('openai', one.url, input), two: upstreamInput('anthropic', two.url, input) },
      models: { both: ['one/m', 'two/m'] },
    }),
  );
  return { upstreams: [one, two], target, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

const isAllOver = (upstreams: readonly StagedUpstream[]): boolean =>
  upstreams.every(({ requests }) => requests.every(({ isOver }) => isOver));

const seeds = Array.from({ length: propertyRuns(1).numRuns }, (_, index) => index + 1);

test.each(seeds)(
  'a thousand callers who leave at random leave nothing behind (seed %i)',
  { timeout: TIME_MAX_MS },
  async (seed) => {
    const stray = watchStrayErrors();
    const warnings: string[] = [];
    const warn = ({ message }: Error) => warnings.push(message);
    process.on('warning', warn);
    await using world = await openWorld();
    const { target, upstreams } = world;
    let admitted = 0;
    target.service.on('request.admitted', () => (admitted += 1));
    await askEveryone(target, 'before');
    const timersAtRest = countTimers();

    await payAll(planVisits(seed), world);

    await until(() => target.settled.length === admitted, 'every request to be settled');
    expect(target.leftovers()).toEqual(NOTHING_LEFT);
    await until(() => isAllOver(upstreams), 'the upstreams to see every request end');
    const ended = Object.groupBy(target.settled, ({ outcome }) => outcome);
    expect(ended.cancelled?.length).toBeGreaterThan(VISITS * 0.3);
    expect(ended.succeeded?.length).toBeGreaterThan(VISITS * 0.1);
    // Every stage was left by somebody while the upstream was at it.
    const cut = new Set(
      upstreams
        .flatMap(({ requests }) => requests.filter((entry) => entry.cutAtMs !== undefined))
        .map(({ stage }) => stage),
    );
    expect(cut).toEqual(new Set(['taken', 'opened', 'begun', 'dripping']));
    for (const { connections } of upstreams) expect(connections()).toBeLessThanOrEqual(CONCURRENCY);
    for (const { breaker, gate, credentials } of Object.values(target.service.providerStates()))
      expect({ breaker, gate, credentials }).toMatchObject({
        breaker: { state: 'closed' },
        gate: 'clear',
        credentials: [{ state: 'usable' }],
      });
    await askEveryone(target, 'after');
    await until(() => countTimers() <= timersAtRest, `no more than ${timersAtRest} timers`);

    await target.service.stop();
    await until(() => upstreams.every(({ connections }) => connections() === 0), 'no connection to an upstream');
    process.off('warning', warn);
    expect(warnings).toEqual([]);
    await stray.finish();
  },
);
