/** What hangs when a daemon is told to stop: a whole daemon in this process, its socket real, its time virtual. */
import { EventEmitter } from 'node:events';
import { Writable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { DRAIN_GRACE_MS } from '../../src/daemon/drain.ts';
import type { LogStream } from '../../src/daemon/log.ts';
import { runDaemon } from '../../src/daemon/serve.ts';
import type { SignalSource } from '../../src/daemon/signals.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { writeConfig } from './daemon-process.ts';

const CONFIG = `
defaults: { model: m }
store: { kind: memory }
providers:
  local: { adapter: mock, models: [m], options: { default: { hang: true } } }
`;

test('what hangs is cut after the grace and no sooner, the caller is told, and the exit is 0 within 30 s', async () => {
  await using config = await writeConfig(CONFIG);
  const clock = new VirtualClock({ seed: 1 });
  const signals = new EventEmitter();
  const listening = Promise.withResolvers<string>();
  const output = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      const [, url] = /"url":"(http:[^"]+)"/.exec(chunk.toString()) ?? [];
      if (url !== undefined) listening.resolve(url);
      done();
    },
  });
  const exit = runDaemon({
    configFile: config.file,
    port: 0,
    env: {},
    tell: (text) => listening.reject(new Error(text)),
    parts: {
      clock,
      signals: signals as unknown as SignalSource, // An emitter has the two methods that are used.
      output: output as unknown as LogStream, // A stream in memory has the members that are used.
    },
  });
  const url = await listening.promise;
  let status: number | undefined;
  const answered = fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'hang' }] }),
  }).then((response) => {
    ({ status } = response);
    return response.text();
  });
  await expect
    .poll(async () => ((await (await fetch(`${url}/admin/queue`)).json()) as { open: number }).open) // What the route promises.
    .toBe(1);
  const toldAtMs = clock.nowMs();
  signals.emit('SIGTERM', 'SIGTERM');
  // The one that asks is answered after whatever was answered before it.
  await clock.advance(DRAIN_GRACE_MS - 1);
  expect((await fetch(`${url}/readyz`)).status).toBe(503);
  await nextTurn();
  expect(status).toBeUndefined();
  await clock.advance(1);
  expect(await answered).toContain('shutting_down');
  expect(status).toBe(503);
  expect(await exit).toBe(0);
  expect(clock.nowMs() - toldAtMs).toBeLessThan(30_000);
});
