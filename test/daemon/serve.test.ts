/** What cannot be provoked from outside: a service that gives up, an exception nobody caught, a stop that hangs. */
import { EventEmitter } from 'node:events';
import { Writable } from 'node:stream';
import { fastify } from 'fastify';
import { describe, expect, test } from 'vitest';
import type { Events } from '../../src/contract/events.ts';
import type { Service } from '../../src/contract/service.ts';
import type { LogStream } from '../../src/daemon/log.ts';
import { runDaemon, type DaemonParts } from '../../src/daemon/serve.ts';
import type { SignalSource } from '../../src/daemon/signals.ts';
import { resolveConfig } from '../../src/config/resolve.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';

interface Rig {
  readonly signals: EventEmitter;
  readonly clock: VirtualClock;
  readonly log: string[];
  /** The grace of every call of `stop`. */
  readonly graces: (number | undefined)[];
  readonly failService: (reason: string) => void;
  readonly listening: Promise<void>;
  readonly exit: Promise<number>;
  readonly told: string[];
}

/** Runs a daemon whose service is a few lines, in virtual time but with a real socket. */
function startRig(
  stop: () => Promise<void>,
  parts: Partial<DaemonParts> = {},
  begin: Promise<void> = Promise.resolve(),
): Rig {
  const signals = new EventEmitter();
  const clock = new VirtualClock({ seed: 1 });
  const log: string[] = [];
  const graces: (number | undefined)[] = [];
  const told: string[] = [];
  const listening = Promise.withResolvers<void>();
  let failService: (reason: string) => void = () => undefined;
  const service = {
    state: 'running',
    openRequests: () => [],
    on: (_event: keyof Events, listener: (payload: { reason: string }) => void) => {
      failService = (reason) => listener({ reason });
      return () => undefined;
    },
    stop: ({ graceMs }: { graceMs?: number } = {}) => {
      graces.push(graceMs);
      return stop();
    },
  };
  const output = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      log.push(chunk.toString());
      if (chunk.includes('"listening"')) listening.resolve();
      done();
    },
  });
  const resolution = resolveConfig(
    { http: { port: 0 }, providers: { local: { adapter: 'mock', models: ['m'] } } },
    { env: {} },
  );
  const exit = runDaemon({
    configFile: 'switchgear.yaml',
    env: {},
    tell: (text) => told.push(text),
    port: 0,
    parts: {
      startService: async () => {
        await begin;
        return service as unknown as Service; // The daemon uses these members alone.
      },
      createHttpServer: () => fastify(),
      loadConfigFile: async () => resolution,
      signals: signals as unknown as SignalSource, // An emitter has the two methods that are used.
      clock,
      output: output as unknown as LogStream, // A stream in memory has the members that are used.
      ...parts,
    },
  });
  void exit.then(() => listening.resolve());
  return {
    signals,
    clock,
    log,
    graces,
    failService: (reason) => failService(reason),
    listening: listening.promise,
    exit,
    told,
  };
}

describe('ending', () => {
  test('a service that gave up ends the daemon with 70, and the log says why', async () => {
    const rig = startRig(async () => undefined);
    await rig.listening;
    rig.failService('3 restarts in 5 s');
    expect(await rig.exit).toBe(70);
    expect(rig.log.join('')).toContain('3 restarts in 5 s');
    expect(rig.signals.eventNames()).toEqual([]);
  });

  test('an exception that nobody caught is logged, drains for a short while, and ends with 70', async () => {
    const rig = startRig(async () => undefined);
    await rig.listening;
    rig.signals.emit('uncaughtException', new Error('out of the blue'));
    expect(await rig.exit).toBe(70);
    expect(rig.graces).toEqual([5_000]);
    expect(rig.log.join('')).toContain('out of the blue');
  });

  test('an exception while draining lets the drain go on, but the exit is 70', async () => {
    const stopped = Promise.withResolvers<void>();
    const rig = startRig(() => stopped.promise);
    await rig.listening;
    rig.signals.emit('SIGTERM', 'SIGTERM');
    await rig.clock.advance(10);
    rig.signals.emit('uncaughtException', new Error('out of the blue'));
    await rig.clock.advance(10);
    stopped.resolve();
    expect(await rig.exit).toBe(70);
    expect(rig.graces).toEqual([25_000]);
  });

  test('a stop that hangs is left behind before 30 s are over, with 70', async () => {
    const rig = startRig(() => new Promise(() => undefined));
    await rig.listening;
    rig.signals.emit('SIGTERM', 'SIGTERM');
    await rig.clock.advance(0);
    let code: number | undefined;
    void rig.exit.then((value) => (code = value));
    await rig.clock.advance(26_999);
    expect(code).toBeUndefined();
    await rig.clock.advance(1);
    expect(await rig.exit).toBe(70);
  });

  test('a stop that fails is logged and ends with 70', async () => {
    const rig = startRig(() => Promise.reject(new Error('the books do not balance')));
    await rig.listening;
    rig.signals.emit('SIGTERM', 'SIGTERM');
    expect(await rig.exit).toBe(70);
    expect(rig.log.join('')).toContain('the books do not balance');
  });

  test('a second signal does not wait for a stop that hangs', async () => {
    const rig = startRig(() => new Promise(() => undefined));
    await rig.listening;
    rig.signals.emit('SIGTERM', 'SIGTERM');
    await rig.clock.advance(1_000);
    rig.signals.emit('SIGTERM', 'SIGTERM');
    await rig.clock.advance(500);
    expect(await rig.exit).toBe(143);
    expect(rig.graces).toEqual([25_000, 0]);
  });
});

test('a service that cannot start ends with 70 and says why', async () => {
  const rig = startRig(async () => undefined, { startService: () => Promise.reject(new Error('no memory left')) });
  expect(await rig.exit).toBe(70);
  expect(rig.told).toEqual(['switchgear: no memory left\n']);
  expect(rig.signals.eventNames()).toEqual([]);
});

test('a port that is taken while the service starts ends with 69 and its message alone', async () => {
  const rig = startRig(async () => undefined, {
    createHttpServer: () => {
      const server = fastify();
      server.listen = () => Promise.reject(Object.assign(new Error('taken'), { code: 'EADDRINUSE' }));
      return server;
    },
  });
  expect(await rig.exit).toBe(69);
  expect(rig.told).toEqual([expect.stringMatching(/^switchgear: port 0 on 127\.0\.0\.1 is taken: /)]);
  expect(rig.graces).toEqual([0]);
  expect(rig.log.join('')).toBe('');
});

test('a signal that comes while starting stops as soon as it has started', async () => {
  const begin = Promise.withResolvers<void>();
  const rig = startRig(async () => undefined, {}, begin.promise);
  await new Promise((resolve) => setImmediate(resolve));
  expect(rig.signals.emit('SIGTERM', 'SIGTERM')).toBe(true);
  begin.resolve();
  expect(await rig.exit).toBe(0);
  expect(rig.graces).toEqual([25_000]);
});
