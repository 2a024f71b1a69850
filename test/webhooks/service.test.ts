/** A whole service that tells a receiver of its own what has ended, over real sockets. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import { type ServiceDeps, startService } from '../../src/compose.ts';
import type { SwitchgearConfig } from '../../src/config/input.ts';
import type { EventName } from '../../src/contract/events.ts';
import type { Service } from '../../src/contract/service.ts';
import { EVENT_NAMES } from '../../src/runtime/parse-arguments.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { findUnreachableURL, openUpstream, type Respond, type UpstreamServer } from '../contracts/upstream.ts';
import {
  arrived,
  ask,
  type Config,
  configWith,
  eagerClock,
  isTold,
  noticesOf,
  OTHER_SECRET,
  PROMPT,
  SECRET,
  TOKEN,
  webhooksAt,
} from '../support/webhook-service.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** A receiver that answers `status`, or as it is told. */
async function listen(respond: number | Respond = 200): Promise<UpstreamServer> {
  const server = await openUpstream(
    typeof respond === 'function' ? respond : (_request, response) => void response.writeHead(respond).end(),
  );
  cleanups.push(() => server.close());
  return server;
}

async function createFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'switchgear-webhooks-'));
  cleanups.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

interface Started {
  readonly service: Service;
  /** Everything that was logged and announced. */
  readonly told: string[];
}

async function start(config: SwitchgearConfig, deps: ServiceDeps = {}): Promise<Started> {
  const told: string[] = [];
  const logger = pino({ level: 'trace', base: null }, { write: (line: string) => void told.push(line) });
  const service = await startService(config, { clock: eagerClock, env: {}, logger, ...deps });
  cleanups.push(() => service.stop({ graceMs: 0 }));
  // The keys of the record are exactly the event names.
  for (const name of Object.keys(EVENT_NAMES) as EventName[])
    service.on(name, (payload) => void told.push(JSON.stringify({ [name]: payload })));
  return { service, told };
}

describe('a notice', () => {
  test('tells that a submitted request has ended, and its receiver finds the result', async () => {
    const server = await listen();
    const { service } = await start(configWith(webhooksAt(server.url)));
    const requestId = await service.completionAsync(ask(PROMPT));
    await arrived(server);
    const [notice] = await noticesOf(server);
    expect(notice).toEqual({
      type: 'request.succeeded',
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      data: { requestId, status: 'succeeded' },
    });
    expect(server.received[0]).toMatchObject({ method: 'POST', path: `/hooks/${TOKEN}` });
    expect(server.received[0]?.headers['webhook-id']).toBe(`msg_${requestId}`);
    expect(JSON.stringify(server.received)).not.toContain(PROMPT);
    expect(await service.getResult(requestId)).toMatchObject({ status: 'succeeded' });
  });

  test('tells of a failure and of a cancellation', async () => {
    const server = await listen();
    const { service } = await start(configWith(webhooksAt(server.url)));
    const failed = await service.completionAsync(ask('fail'));
    await arrived(server);
    const cancelled = await service.completionAsync(ask('hang'));
    await service.cancel(cancelled);
    await arrived(server, 2);
    expect(await noticesOf(server)).toMatchObject([
      {
        type: 'request.failed',
        data: { requestId: failed, status: 'failed', error: { code: 'invalid-request', message: expect.any(String) } },
      },
      {
        type: 'request.cancelled',
        data: { requestId: cancelled, status: 'cancelled', error: { code: 'cancelled' } },
      },
    ]);
  });

  test('is sent of whatever is stored, and of nothing else', async () => {
    const server = await listen();
    const { service } = await start(configWith(webhooksAt(server.url)));
    await service.completion(ask('sync'));
    await service.completionStream(ask('stream')).response;
    const keyed = await service.completion(ask('keyed'), { idempotencyKey: 'k1' });
    const submitted = await service.completionAsync(ask('async'));
    await arrived(server, 2);
    await service.stop();
    const ids = server.received.map(({ headers }) => headers['webhook-id']);
    expect(ids).toEqual([`msg_${keyed.requestId}`, `msg_${submitted}`]);
  });

  test('is not sent while webhooks are off, which they are by default', async () => {
    const server = await listen();
    const { service } = await start(configWith(undefined));
    const requestId = await service.completionAsync(ask('x'));
    expect(await service.getResult(requestId, { waitMs: 10_000 })).toMatchObject({ status: 'succeeded' });
    await service.stop();
    expect(server.received).toEqual([]);
  });

  test('is tried again until its receiver takes it, under one id', async () => {
    const answers = [500, 503, 200];
    const server = await listen((_request, response) => void response.writeHead(answers.shift() ?? 200).end());
    const { service, told } = await start(configWith(webhooksAt(server.url)), {
      clock: { ...systemClock, random: () => 0 },
    });
    const requestId = await service.completionAsync(ask('x'));
    await isTold(told, 'webhook.delivered');
    expect(new Set(server.received.map(({ headers }) => headers['webhook-id']))).toEqual(new Set([`msg_${requestId}`]));
    expect(new Set(server.received.map(({ body }) => body)).size).toBe(1);
    expect(server.received).toHaveLength(3);
    expect(told.filter((line) => line.includes('"msg":"webhook not delivered yet"'))).toHaveLength(2);
  });

  test('that its receiver refuses for good is given up with an event and a log line', async () => {
    const server = await listen(410);
    const { service, told } = await start(configWith(webhooksAt(server.url)));
    const requestId = await service.completionAsync(ask('x'));
    await isTold(told, '"msg":"webhook given up');
    expect(
      told.filter((line) => line.startsWith('{"webhook.failed"')).map((line) => JSON.parse(line) as unknown),
    ).toEqual([
      { 'webhook.failed': { requestId, tries: 1, reason: 'the receiver answered 410: it wants no more notices' } },
    ]);
    expect(told.find((line) => line.includes('webhook given up'))).toContain('"level":50');
  });
});

describe('a receiver that hangs', () => {
  test('holds up neither requests nor stop', async () => {
    const server = await listen(() => undefined);
    const { service } = await start(configWith(webhooksAt(server.url, { timeoutMs: 300 })));
    const submitted = await Promise.all(
      Array.from({ length: 30 }, (_, index) => service.completionAsync(ask(`number ${index}`))),
    );
    for (const requestId of submitted)
      expect(await service.getResult(requestId, { waitMs: 10_000 })).toMatchObject({ status: 'succeeded' });
    expect(server.received.length).toBeLessThan(30);
    await service.stop();
    await expect.poll(() => server.connections(), { timeout: 5_000 }).toBe(0);
  });
});

test('stop waits for what is on its way', async () => {
  const server = await listen((_request, response) => {
    setTimeout(() => response.writeHead(200).end(), 200);
  });
  const { service, told } = await start(configWith(webhooksAt(server.url)));
  await service.completionAsync(ask('x'));
  await arrived(server);
  await service.stop();
  expect(told.filter((line) => line.includes('webhook.delivered'))).toHaveLength(1);
});

test('a request that is cancelled while it waits in the store alone is told of at once', async () => {
  const folder = await createFolder();
  const server = await listen();
  const { service, told } = await start({
    ...configWith(webhooksAt(server.url)),
    service: { queueDepthMax: 1 },
    store: { kind: 'sqlite', path: join(folder, 'store.db') },
    providers: { mock: { adapter: 'mock', models: ['m'], concurrency: 1, options: { default: { hang: true } } } },
  });
  const submitted: string[] = [];
  for (const content of ['runs', 'waits', 'is parked']) submitted.push(await service.completionAsync(ask(content)));
  const parked = submitted[2] ?? '';
  expect(service.openRequests().map(({ requestId }) => requestId)).not.toContain(parked);
  expect(await service.cancel(parked)).toBe(true);
  await isTold(told, 'webhook.delivered');
  expect(await noticesOf(server)).toMatchObject([{ type: 'request.cancelled', data: { requestId: parked } }]);
});

describe('another process', () => {
  test('sends what the one before could not, when the store is a file', async () => {
    const store = { kind: 'sqlite' as const, path: join(await createFolder(), 'store.db') };
    const before = await start(
      { ...configWith(webhooksAt(await findUnreachableURL())), store },
      { clock: systemClock },
    );
    const requestId = await before.service.completionAsync(ask('x'));
    await isTold(before.told, 'webhook.postponed');
    await before.service.stop();

    const server = await listen();
    const after = await start({ ...configWith(webhooksAt(server.url)), store });
    await isTold(after.told, 'webhook.delivered');
    expect(await noticesOf(server)).toMatchObject([{ data: { requestId, status: 'succeeded' } }]);
    expect(server.received).toHaveLength(1);
  });
});

describe('a reload', () => {
  test('sends to another receiver, signed with other secrets', async () => {
    const first = await listen();
    const second = await listen();
    const config = configWith(webhooksAt(first.url));
    const { service } = await start(config);
    await service.completionAsync(ask('x'));
    await arrived(first);
    config.webhooks = webhooksAt(second.url, { secret: [OTHER_SECRET, SECRET] });
    await service.reload();
    const requestId = await service.completionAsync(ask('y'));
    await arrived(second);
    for (const secret of [SECRET, OTHER_SECRET])
      expect(await noticesOf(second, secret)).toMatchObject([{ data: { requestId } }]);
    expect(first.received).toHaveLength(1);
  });

  test.each([
    ['off', (config: Config) => delete config.webhooks],
    ['nowhere', () => undefined],
  ])('that turns webhooks %s is told to take a restart when it does', async (what, change) => {
    const server = await listen();
    const config = configWith(webhooksAt(server.url));
    const { service, told } = await start(config);
    change(config);
    await service.reload();
    const warnings = told.filter((line) => line.includes('webhooks are turned on or off by a restart'));
    expect(warnings).toHaveLength(what === 'off' ? 1 : 0);
    await service.completionAsync(ask('x'));
    await arrived(server);
  });
});

test('neither secret nor token is in any log line, event or error, however its receiver fails', async () => {
  const bodies = ['', SECRET, `{"secret":"${SECRET}","url":"/hooks/${TOKEN}"}`];
  let count = 0;
  const server = await listen((request, response) => {
    count += 1;
    // A receiver may send back whatever it was sent.
    if (count % 4 === 0) return void response.destroy();
    if (count % 4 === 1) return void response.writeHead(302, { location: `/elsewhere/${TOKEN}?s=${SECRET}` }).end();
    return void response.writeHead(500, String(request.headers['webhook-signature'])).end(bodies[count % 3]);
  });
  const config = configWith(webhooksAt(server.url));
  const { service, told } = await start(config, { clock: { ...systemClock, random: () => 0 } });
  await Promise.all(Array.from({ length: 5 }, (_, index) => service.completionAsync(ask(`${index}`))));
  await expect.poll(() => told.filter((line) => line.includes('webhook.failed')).length, { timeout: 10_000 }).toBe(5);
  config.webhooks = { ...webhooksAt(`ftp://example.com/${SECRET}`), secret: [SECRET, OTHER_SECRET, 'canary'] };
  const refusal = await service.reload().catch((error: unknown) => error);
  expect(String(refusal)).toContain('webhooks.url');
  expect(String(refusal)).toContain('webhooks.secret.2');
  const everything = [...told, String(refusal), JSON.stringify(refusal), JSON.stringify((refusal as Error).cause)];
  expect(everything.join('\n')).not.toMatch(new RegExp(`canary|${SECRET.slice(6, 30)}|${OTHER_SECRET.slice(6, 30)}`));
});
