import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { openLog, type LogStream } from '../../src/daemon/log.ts';

/** A stream whose reader takes nothing until told to. */
function createStream() {
  const taken: string[] = [];
  let isStalled = true;
  let resume: () => void = () => undefined;
  const writable = new Writable({
    decodeStrings: false,
    write: (chunk: string, _encoding, done) => {
      taken.push(chunk);
      if (isStalled) resume = () => done();
      else done();
    },
  });
  return {
    taken,
    writable,
    stream: writable as unknown as LogStream, // It has the members that are used.
    release: () => {
      isStalled = false;
      resume();
    },
  };
}

test('a reader that stalls costs memory up to a bound, then lines, and is told how many', async () => {
  const { stream, writable, taken, release } = createStream();
  const log = openLog('info', stream);
  const { logger } = log;
  const text = 'x'.repeat(1024 * 1024);
  for (let count = 0; count < 40; count += 1) logger.info(text);
  expect(writable.writableLength).toBeGreaterThan(16 * 1024 * 1024);
  expect(writable.writableLength).toBeLessThan(19 * 1024 * 1024);
  release();
  await log.flush();
  logger.info('after');
  await log.flush();
  const written = taken.filter((line) => line.includes(text)).length;
  const told = taken.map((line) => /"droppedLines":(\d+)/.exec(line)?.[1]).find((count) => count !== undefined);
  expect(written + Number(told)).toBe(40);
  expect(written).toBeGreaterThanOrEqual(16);
  expect(taken.some((line) => line.includes('"after"'))).toBe(true);
});

test('an error of the stream is no exception, until the log is closed', () => {
  const { stream, writable } = createStream();
  const log = openLog('info', stream);
  expect(() => writable.emit('error', new Error('EPIPE'))).not.toThrow();
  log.close();
  expect(writable.listenerCount('error')).toBe(0);
});

test('a level says what is written', async () => {
  const { stream, taken, release } = createStream();
  release();
  const { logger } = openLog('warn', stream);
  logger.info('quiet');
  logger.warn('loud');
  expect(taken.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(['loud']);
});
