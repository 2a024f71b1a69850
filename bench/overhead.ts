/**
 * What the service adds to a call: the same request to the same simulated provider through the bare SDK, through the library
 * and through the daemon's HTTP edge, in turn within one run, so that a slow machine slows all three alike.
 *
 *   npm run bench            prints medians over rounds and the ratio to the bare SDK
 */
import OpenAI from 'openai';
import { createHttpServer } from '../src/http/server.ts';
import { resolveConfig } from '../src/config/resolve.ts';
import { startService } from '../src/index.ts';
import { systemClock } from '../src/runtime/system-clock.ts';
import { createSimulator } from '../src/simulator/server.ts';

const ROUNDS = 9;
const CALLS = 300;
const CONCURRENCY = 16;
const messages = [{ role: 'user' as const, content: 'What keeps the lights on?' }];

const simulator = await createSimulator({ name: 'upstream', clock: systemClock, outputTokens: 20 });
const source = {
  providers: {
    up: { adapter: 'openai', baseURL: `${simulator.url}/v1`, apiKey: 'bench', models: ['m'], concurrency: 64 },
  },
};
const service = await startService(source);
const { config } = resolveConfig(source, { env: {} });
const server = createHttpServer({ service, config, clock: systemClock });
const daemonUrl = await server.listen({ host: '127.0.0.1', port: 0 });

const bare = new OpenAI({ baseURL: `${simulator.url}/v1`, apiKey: 'bench', maxRetries: 0 });
const client = new OpenAI({ baseURL: `${daemonUrl}/v1`, apiKey: 'unused', maxRetries: 0 });
const ways: Readonly<Record<string, () => Promise<unknown>>> = {
  'bare openai SDK': () => bare.chat.completions.create({ model: 'm', messages }),
  'library, completion()': () => service.completion({ model: 'up/m', messages }),
  'openai SDK → daemon': () => client.chat.completions.create({ model: 'up/m', messages }),
};

const times = new Map(Object.keys(ways).map((name) => [name, { single: [] as number[], loaded: [] as number[] }]));
for (const ask of Object.values(ways)) await repeat(ask, CALLS, CONCURRENCY);
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, ask] of Object.entries(ways)) {
    times.get(name)?.single.push(await repeat(ask, CALLS, 1));
    times.get(name)?.loaded.push(await repeat(ask, CALLS, CONCURRENCY));
  }
}
report();
await server.close();
await service.stop();
await simulator.close();

/** Milliseconds per call. */
async function repeat(ask: () => Promise<unknown>, calls: number, concurrency: number): Promise<number> {
  const startedAt = performance.now();
  let left = calls;
  const worker = async () => {
    while (left-- > 0) await ask();
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return (performance.now() - startedAt) / calls;
}

function report(): void {
  const rows = [...times].map(([name, { single, loaded }]) => ({
    name,
    single: median(single),
    loaded: median(loaded),
  }));
  const [base] = rows;
  if (base === undefined) return;
  process.stdout.write(`median of ${ROUNDS} rounds of ${CALLS} calls, Node ${process.version}\n\n`);
  process.stdout.write(
    `${'way'.padEnd(24)}${'ms/call, 1 caller'.padStart(20)}${'ratio'.padStart(8)}${`ms/call, ${CONCURRENCY} callers`.padStart(22)}${'ratio'.padStart(8)}\n`,
  );
  for (const { name, single, loaded } of rows) {
    const cells = [
      single.toFixed(3).padStart(20),
      (single / base.single).toFixed(2).padStart(8),
      loaded.toFixed(3).padStart(22),
      (loaded / base.loaded).toFixed(2).padStart(8),
    ];
    process.stdout.write(`${name.padEnd(24)}${cells.join('')}\n`);
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN;
}
