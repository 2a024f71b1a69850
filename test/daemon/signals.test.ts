import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import { watchSignals, type SignalSource } from '../../src/daemon/signals.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';

function createWatch() {
  const emitter = new EventEmitter();
  const clock = new VirtualClock({ seed: 1 });
  const reached: string[] = [];
  // An emitter has the two methods of `process` that are used.
  const watch = watchSignals({
    source: emitter as unknown as SignalSource,
    clock,
    reload: () => reached.push('reload'),
    crashed: (error) => reached.push(`crashed ${String(error)}`),
  });
  void watch.stop.then((signal) => reached.push(`stop ${signal}`));
  void watch.stopNow.then((signal) => reached.push(`stopNow ${signal}`));
  void watch.crash.then(() => reached.push('crash'));
  return { emitter, clock, reached, watch };
}

test('the first signal stops, the second stops now, whichever they are', async () => {
  const { emitter, clock, reached } = createWatch();
  emitter.emit('SIGINT', 'SIGINT');
  await clock.advance(1_000);
  expect(reached).toEqual(['stop SIGINT']);
  emitter.emit('SIGTERM', 'SIGTERM');
  await clock.advance(0);
  expect(reached).toEqual(['stop SIGINT', 'stopNow SIGTERM']);
});

test('the echo that npm makes of a signal is not a second one, but the next is', async () => {
  const { emitter, clock, reached } = createWatch();
  emitter.emit('SIGINT', 'SIGINT');
  await clock.advance(149);
  emitter.emit('SIGINT', 'SIGINT');
  await clock.advance(1);
  expect(reached).toEqual(['stop SIGINT']);
  emitter.emit('SIGINT', 'SIGINT');
  await clock.advance(0);
  expect(reached).toEqual(['stop SIGINT', 'stopNow SIGINT']);
});

test('every SIGHUP reloads, every exception is told, the first one ends', async () => {
  const { emitter, clock, reached } = createWatch();
  emitter.emit('SIGHUP', 'SIGHUP');
  emitter.emit('SIGHUP', 'SIGHUP');
  emitter.emit('uncaughtException', 'a');
  emitter.emit('uncaughtException', 'b');
  await clock.advance(0);
  expect(reached).toEqual(['reload', 'reload', 'crashed a', 'crashed b', 'crash']);
});

test('closing leaves no listener behind', () => {
  const { emitter, watch } = createWatch();
  watch.close();
  expect(emitter.eventNames()).toEqual([]);
});
