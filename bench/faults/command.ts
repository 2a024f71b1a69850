/** The words of the command line that both scoreboards understand. */
import { parseArgs } from 'node:util';
import { BEYOND, CATALOGUE } from './catalogue.ts';
import type { Fault } from './fault.ts';

export interface Command {
  readonly faults: readonly Fault[];
  readonly isJson: boolean;
  readonly isSaved: boolean;
}

/** Reads the command line. @throws {TypeError} naming what was not understood */
export function parseCommand(words: readonly string[]): Command {
  const { values } = parseArgs({
    args: [...words],
    options: { only: { type: 'string' }, json: { type: 'boolean' }, save: { type: 'boolean' } },
  });
  const isSaved = values.save === true;
  if (isSaved && values.only !== undefined)
    throw new TypeError('expected --save to stand without --only, got: both; a kept board is a whole one');
  return { faults: chooseFaults(values.only), isJson: values.json === true, isSaved };
}

function chooseFaults(only: string | undefined): readonly Fault[] {
  const all = [...CATALOGUE, ...BEYOND];
  if (only === undefined) return all;
  const wanted = only.split(',').map((id) => id.trim().toUpperCase());
  const unknown = wanted.filter((id) => all.every((fault) => fault.id !== id));
  if (unknown.length > 0)
    throw new TypeError(
      `expected --only to name faults from ${all.map(({ id }) => id).join(', ')}, got: ${unknown.join(', ')}`,
    );
  return all.filter(({ id }) => wanted.includes(id));
}
