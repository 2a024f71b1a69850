/**
 * Lives of a store as strace saw them, and what is left of them when the power goes in between: at random moments the disk is
 * left as a real one might be, opened again by the store itself, and asked for everything that had been acknowledged.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { createInlineHost } from '../../src/stores/sqlite/inline-host.ts';
import { createSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';
import { Dice } from '../simulation/dice.ts';
import { DiskModel } from './disk-model.ts';
import { type Step, trace } from './trace.ts';
import { MARKS, type ProgramOptions } from './traced-program.ts';

const PROGRAM = fileURLToPath(new URL('traced-program.ts', import.meta.url));
const STORE = 'store.db';
/** Where what is left is looked at: in memory if that is to be had, as nothing there has to be synced. */
const JUDGED_IN = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

export interface PowerCutPlan {
  readonly seed: string;
  /** How often the power goes. */
  readonly points: number;
  /** The lives of one store, one process after the other. */
  readonly lives: readonly Pick<ProgramOptions, 'callers' | 'requests' | 'end'>[];
  /** Which syncs fail in each life (`TraceOptions.failing`); what they should have written is lost or not. */
  readonly failing?: string;
  /** The disk says that it has synced and has not: promises must break, or nothing is being checked. */
  readonly isLying?: boolean;
}

export interface PowerCutReport {
  readonly points: number;
  readonly steps: number;
  /** How often the file itself was written beside its log, which is what a checkpoint does. */
  readonly checkpoints: number;
  readonly failedSyncs: number;
  /** Acknowledgements that were looked for, over all points. */
  readonly promises: number;
  /** One sentence for each that was broken. */
  readonly broken: readonly string[];
}

/** Lives one store and cuts its power at each of the points. */
export async function cutPower(plan: PowerCutPlan): Promise<PowerCutReport> {
  const folder = mkdtempSync(join(tmpdir(), 'switchgear-power-'));
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  try {
    const lives = await live(plan, folder, disk);
    const dice = new Dice(`${plan.seed}/cuts`);
    const total = lives.reduce((sum, steps) => sum + steps.length, 0);
    const moments = new Set(Array.from({ length: plan.points }, () => dice.integer(1, total)));
    while (moments.size < Math.min(plan.points, total)) moments.add(dice.integer(1, total));
    return await cutAt(moments, { lives, disk, dice, isLying: plan.isLying === true });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function live({ seed, lives, failing }: PowerCutPlan, folder: string, disk: string) {
  const traces: (readonly Step[])[] = [];
  for (const [number, life] of lives.entries()) {
    const options: ProgramOptions = { ...life, path: join(disk, STORE), seed: `${seed}${number}` };
    const { steps, code, stderr } = await trace([PROGRAM, JSON.stringify(options)], {
      folder,
      ...(failing !== undefined && { failing }),
    });
    if (stderr !== '' || (life.end === 'close' && code !== 0))
      throw new Error(`expected the traced program to end well, got: ${code}, ${stderr}`);
    traces.push(steps);
  }
  return traces;
}

interface Lived {
  readonly lives: readonly (readonly Step[])[];
  readonly disk: string;
  readonly dice: Dice;
  readonly isLying: boolean;
}

async function cutAt(moments: ReadonlySet<number>, { lives, disk, dice, isLying }: Lived): Promise<PowerCutReport> {
  const model = new DiskModel(disk, dice, isLying);
  const said = new Set<string>();
  const broken: string[] = [];
  let [points, promises, checkpoints, failedSyncs] = [0, 0, 0, 0];
  let before: Step | undefined;
  for (const steps of lives) {
    const began = model.steps;
    for (const step of steps) {
      model.apply(step, began);
      for (const mark of marksIn(step)) said.add(mark);
      if (isOf(step, join(disk, STORE)) && !isOf(before, join(disk, STORE))) checkpoints += 1;
      if (step.kind === 'write') before = step;
      if (step.kind === 'failed-sync') failedSyncs += 1;
      if (!moments.has(model.steps)) continue;
      points += 1;
      promises += said.size;
      const problems = await judge(model.cut(), said);
      broken.push(...problems.map((problem) => `cut after step ${model.steps}: ${problem}`));
    }
  }
  return { points, steps: model.steps, checkpoints, failedSyncs, promises, broken };
}

function marksIn(step: Step): readonly string[] {
  return step.kind === 'said' ? [...step.text.matchAll(MARKS)].map(([mark]) => mark) : [];
}

function isOf(step: Step | undefined, path: string): boolean {
  return step?.kind === 'write' && step.path === path;
}

/** Opens what is left, as the next start of the service would. */
async function judge(files: ReadonlyMap<string, Buffer>, said: ReadonlySet<string>): Promise<readonly string[]> {
  const left = mkdtempSync(join(JUDGED_IN, 'switchgear-left-'));
  const path = join(left, STORE);
  for (const [name, bytes] of files) writeFileSync(join(left, name), bytes);
  try {
    const broken = await findBroken(path, said);
    const database = new DatabaseSync(path);
    const found = JSON.stringify(database.prepare('PRAGMA integrity_check').all());
    database.close();
    return found === '[{"integrity_check":"ok"}]' ? broken : [`integrity_check said ${found}`, ...broken];
  } catch (error) {
    return [`it could not be opened: ${String(error)}`];
  } finally {
    rmSync(left, { recursive: true });
  }
}

async function findBroken(path: string, said: ReadonlySet<string>): Promise<readonly string[]> {
  const shared = { path, resultTtlMs: 86_400_000, hasWebhooks: true };
  const storage = createSqliteStorage(createInlineHost(shared), { clock: systemClock, retainDays: 30 });
  await storage.requests.recover();
  const verdicts = await Promise.all(
    [...said].map(async (mark) => {
      const loaded = await storage.requests.load(mark.replace('end_', 'req_'));
      if (loaded.kind !== 'found') return [`${mark} was acknowledged and is ${loaded.kind}`];
      if (mark.startsWith('req_')) return [];
      const { settlement } = loaded.record;
      const isKept = settlement?.status === 'failed' && settlement.error.message === mark;
      return isKept ? [] : [`${mark} was acknowledged and the record says ${JSON.stringify(settlement)}`];
    }),
  );
  await storage.close();
  return verdicts.flat();
}
