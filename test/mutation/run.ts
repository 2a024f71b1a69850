/**
 * Mutation testing: changes the code in every small way there is and counts how many of the changes a test notices. Stryker
 * works in a copy of the tree in the folder for temporary files. It must not see a `tsconfig.json`, because it would rewrite
 * it with a compiler API that TypeScript 7 does not have; nothing in the copy is type-checked, so nothing is lost.
 *
 * `npm run mutation -- --group queue --group ledger` looks at some of the groups. Ends with 1 when one of them scores less
 * than it should.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { Stryker } from '@stryker-mutator/core';

import { GROUPS, type MutationGroup, SCORE_MIN } from './groups.ts';

/** Properties are searched a fifth as long, always from the same seed, and not shrunk: a mutant lives or dies alike each time. */
const SEARCH = {
  SWITCHGEAR_PROPERTY_RUNS: '0.2',
  SWITCHGEAR_PROPERTY_SEED: '20261121',
  SWITCHGEAR_PROPERTY_SHRINK: 'off',
};

type MutantResult = Awaited<ReturnType<Stryker['runMutationTest']>>[number];

const DETECTED: readonly MutantResult['status'][] = ['Killed', 'Timeout'];
const UNDETECTED: readonly MutantResult['status'][] = ['Survived', 'NoCoverage'];

interface GroupReport {
  readonly name: string;
  readonly detected: readonly MutantResult[];
  readonly survivors: readonly MutantResult[];
  /** Mutants that could not be judged: they count neither way. */
  readonly invalid: readonly MutantResult[];
  readonly score: number;
}

/** Files by path, as they were when the run began: somebody may be at work on them. */
type Sources = ReadonlyMap<string, string>;

const { values } = parseArgs({
  options: { group: { type: 'string', multiple: true }, concurrency: { type: 'string', default: '2' } },
});
const reports: GroupReport[] = [];
for (const group of chosenGroups(values.group)) {
  const sources = new Map(group.sources.map((path) => [resolve(path), readFileSync(path, 'utf8')]));
  const report = judge(group, await mutate(group, Number(values.concurrency)));
  print(report, sources);
  reports.push(report);
}
console.log('');
for (const { name, score, detected, survivors } of reports)
  console.log(`${name}: ${score.toFixed(2)} % (${detected.length} of ${detected.length + survivors.length})`);
process.exitCode = reports.every(({ score }) => score >= SCORE_MIN) ? 0 : 1;

function chosenGroups(names: readonly string[] | undefined): readonly MutationGroup[] {
  const known = GROUPS.map(({ name }) => name);
  const unknown = names?.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new TypeError(`expected --group to be one of ${known.join(', ')}, got: ${unknown}`);
  return GROUPS.filter(({ name }) => names === undefined || names.includes(name));
}

async function mutate(group: MutationGroup, concurrency: number): Promise<readonly MutantResult[]> {
  Object.assign(process.env, SEARCH, { SWITCHGEAR_MUTATION_TESTS: group.tests.join(',') });
  const folder = mkdtempSync(join(tmpdir(), 'mutation-'));
  try {
    return await new Stryker({
      mutate: [...group.sources],
      testRunner: 'vitest',
      vitest: { configFile: 'test/mutation/vitest.config.ts', related: false },
      coverageAnalysis: 'perTest',
      tsconfigFile: 'none',
      disableTypeChecks: false,
      reporters: ['progress-append-only'],
      warnings: false,
      tempDirName: folder,
      timeoutMS: 15_000,
      concurrency,
    }).runMutationTest();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function judge({ name }: MutationGroup, mutants: readonly MutantResult[]): GroupReport {
  const detected = mutants.filter(({ status }) => DETECTED.includes(status));
  const survivors = mutants.filter(({ status }) => UNDETECTED.includes(status));
  const invalid = mutants.filter((mutant) => !detected.includes(mutant) && !survivors.includes(mutant));
  return { name, detected, survivors, invalid, score: (100 * detected.length) / (detected.length + survivors.length) };
}

function print({ name, detected, survivors, invalid, score }: GroupReport, sources: Sources): void {
  const timeouts = detected.filter(({ status }) => status === 'Timeout').length;
  console.log(
    `\n${name}: ${score.toFixed(2)} %; ${detected.length} detected (${timeouts} of them by a timeout), ` +
      `${survivors.length} survived, ${invalid.length} invalid`,
  );
  for (const mutant of [...survivors, ...invalid]) console.log(`  ${describe(mutant, sources)}`);
}

function describe({ fileName, location, replacement, status }: MutantResult, sources: Sources): string {
  const path = relative(process.cwd(), fileName);
  const original = textAt(sources.get(fileName) ?? '', location);
  return `${path}:${location.start.line} ${status}: ${oneLine(original)} → ${oneLine(replacement)}`;
}

function textAt(source: string, { start, end }: MutantResult['location']): string {
  const lines = source.split('\n').slice(start.line - 1, end.line);
  lines[lines.length - 1] = lines.at(-1)?.slice(0, end.column - 1) ?? '';
  lines[0] = lines[0]?.slice(start.column - 1) ?? '';
  return lines.join(' ');
}

function oneLine(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ');
  return line.length > 100 ? `${line.slice(0, 100)}…` : line;
}
