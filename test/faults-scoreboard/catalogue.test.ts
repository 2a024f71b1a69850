import { expect, test } from 'vitest';
import { BEYOND, CATALOGUE } from '../../bench/faults/catalogue.ts';
import { parseCommand } from '../../bench/faults/command.ts';
import { parsePatch } from '../../src/simulator/options.ts';

test('the catalogue is the sixteen faults in the order of their numbers', () => {
  const numbers = Array.from({ length: 16 }, (_fault, index) => `S${String(index + 1).padStart(2, '0')}`);
  expect(CATALOGUE.map(({ id }) => id)).toEqual(numbers);
});

test.each([...CATALOGUE, ...BEYOND])('$id is something that the simulator knows how to do', ({ upstreams }) => {
  for (const patch of Object.values(upstreams)) expect(() => parsePatch(patch)).not.toThrow();
});

test('S15 asks every four seconds, through the outage and for half a minute after it, without the last moment', () => {
  const times = CATALOGUE.find(({ id }) => id === 'S15')?.requests.map(({ notBeforeMs }) => notBeforeMs);
  expect(times?.slice(0, 3)).toEqual([0, 4_000, 8_000]);
  expect(times?.at(-1)).toBe(88_000);
  expect(times).toHaveLength(23);
});

test('only faults that a stream alone can have are left out of unstreamed delivery', () => {
  const streamed = CATALOGUE.filter(({ deliveries }) => !deliveries.includes('unstreamed')).map(({ id }) => id);
  expect(streamed).toEqual(['S07', 'S11']);
  for (const { deliveries } of CATALOGUE) expect(deliveries).toEqual(expect.arrayContaining(['live', 'whole']));
});

test('the command line plays everything, or what it names', () => {
  expect(parseCommand([])).toEqual({ faults: [...CATALOGUE, ...BEYOND], isJson: false, isSaved: false });
  const { faults, isJson } = parseCommand(['--only', 's09, S07', '--json']);
  expect(faults.map(({ id }) => id)).toEqual(['S07', 'S09']);
  expect(isJson).toBe(true);
});

test('the command line names what it does not know, and keeps no board that is not whole', () => {
  expect(() => parseCommand(['--only', 'S07,S99'])).toThrow(/expected --only to name faults from S01, .*, got: S99$/u);
  expect(() => parseCommand(['--save', '--only', 'S07'])).toThrow('expected --save to stand without --only');
  expect(() => parseCommand(['--onyl', 'S07'])).toThrow(/--onyl/u);
});
