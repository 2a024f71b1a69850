/**
 * The demo: two simulated providers on real sockets, called through the real SDKs, a few hundred requests, and an outage in
 * the middle. It fails when a request is lost or unanswered, so that what it shows is true.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { startService } from '../compose.ts';
import type { SwitchgearConfig } from '../config/input.ts';
import type { Service } from '../contract/service.ts';
import { EXIT, type ExitCode } from '../daemon/exit-code.ts';
import { systemClock } from '../runtime/system-clock.ts';
import { createSimulator, type Simulator } from '../simulator/server.ts';
import { LiveBlock } from './demo/live-block.ts';
import { renderLine, renderReport, renderScreen } from './demo/report.ts';
import { Tally } from './demo/tally.ts';
import { sendOne } from './demo/traffic.ts';
import type { CommandContext } from './session.ts';

const REQUESTS = 300;
const SEND_EVERY_MS = 60;
const OUTAGE_FROM_MS = 5_000;
const OUTAGE_TO_MS = 11_000;
const FRAME_MS = 100;

/** Runs the demo. Resolves with 70 when a request was lost or not answered. */
export async function runDemo({ shell, isJson }: CommandContext): Promise<ExitCode> {
  const stop = shell.interrupt();
  const [north, south] = await Promise.all([createUpstream('north'), createUpstream('south')]);
  const service = await startService(createConfig(north, south));
  try {
    const tally = new Tally(() => systemClock.nowMs());
    tally.watch(service);
    const screen = () => ({ tally, total: REQUESTS, providers: service.providerStates() });
    const block = new LiveBlock(isJson ? shell.stderr : shell.stdout);
    await block.draw([], `two providers, ${REQUESTS} requests; "north" will be down from 5 s to 11 s`);
    if (shell.stdout.isTerminal)
      await shell.stdout.write(`\nTwo providers, ${REQUESTS} requests; "north" will be down from 5 s to 11 s.\n\n`);
    const traffic = Promise.all([sendAll(service, tally, stop), failAndRecover(north, tally, stop)]);
    await drawUntil(traffic, stop, () => block.draw(renderScreen(screen()), renderLine(screen())));
    const costs = await service.costSummary();
    const report = renderReport(tally, costs, REQUESTS);
    const document = {
      requests: REQUESTS,
      answered: tally.answers.length,
      failed: tally.errors.length,
      rescued: tally.rescued,
      timeline: tally.happenings,
      costs,
    };
    await shell.stdout.write(isJson ? `${JSON.stringify(document)}\n` : report);
    return tally.answers.length === REQUESTS ? EXIT.ok : EXIT.crash;
  } finally {
    await service.stop({ graceMs: 0 });
    await Promise.all([north.close(), south.close()]);
  }
}

function createUpstream(name: string): Promise<Simulator> {
  const latencyMs = { kind: 'lognormal' as const, medianMs: 350, sigma: 0.4 };
  return createSimulator({ name, clock: systemClock, seed: 7, latencyMs, tokensPerSecond: 400, outputTokens: 60 });
}

/** Short timings, so that a recovery fits into the show; the prices are made up. */
function createConfig(north: Simulator, south: Simulator): SwitchgearConfig {
  const price = { inputUsdPerMillionTokens: 2, outputUsdPerMillionTokens: 8 };
  const breaker = { openMs: 2_000 };
  return {
    providers: {
      north: {
        adapter: 'openai',
        baseURL: `${north.url}/v1`,
        apiKey: 'demo-key-north',
        models: { 'large-1': { price } },
        breaker,
      },
      south: {
        adapter: 'anthropic',
        baseURL: south.url,
        apiKey: 'demo-key-south',
        models: { 'large-2': { price } },
        breaker,
      },
    },
    models: { smart: ['north/large-1', 'south/large-2'] },
  };
}

async function sendAll(service: Service, tally: Tally, stop: AbortSignal): Promise<void> {
  const sent: Promise<void>[] = [];
  for (let index = 0; index < REQUESTS && !stop.aborted; index++) {
    sent.push(sendOne(service, tally, index));
    await delay(SEND_EVERY_MS);
  }
  await Promise.all(sent);
}

async function failAndRecover(upstream: Simulator, tally: Tally, stop: AbortSignal): Promise<void> {
  await delay(OUTAGE_FROM_MS, undefined, { signal: stop });
  tally.note(`${upstream.name} goes down: it answers 503 to everything`);
  upstream.configure({ fault: '503' });
  await delay(OUTAGE_TO_MS - OUTAGE_FROM_MS, undefined, { signal: stop });
  upstream.configure({ fault: null });
  tally.note(`${upstream.name} is healthy again`);
}

async function drawUntil(traffic: Promise<unknown>, stop: AbortSignal, draw: () => Promise<void>): Promise<void> {
  const isOver = traffic.then(() => true);
  for (;;) {
    await draw();
    const frame = delay(FRAME_MS, false);
    if (stop.aborted || (await Promise.race([isOver, frame]))) break;
  }
  await isOver;
  await draw();
}
