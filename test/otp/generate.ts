/**
 * Draws fault scripts. Families stress one part of supervision each and share everything else; what a family does not name
 * is left to chance. Nothing is drawn whose result would hang on who is faster in real time: whoever is slow is slower than
 * its limit by far or has a limit that is far off, and crashes come at once or later than the period by more than a second.
 */
import { Dice } from '../simulation/dice.ts';
import { drawSteps } from './generate-steps.ts';
import { drawPool, drawSupervisor } from './generate-tree.ts';
import type { Script } from './script.ts';

/** `requests` is several about one child; the others are the steps of that name. */
type StepKind =
  | 'exit'
  | 'exit-together'
  | 'exit-then-ask'
  | 'kill-supervisor'
  | 'wait'
  | 'start-child'
  | 'requests'
  | 'count-children'
  | 'list-children';

/** What a family of scripts is about. Numbers without a unit are probabilities or weights. */
export interface Family {
  readonly name: string;
  readonly scripts: number;
  readonly depthMax: number;
  readonly root: 'supervisor' | 'pool';
  readonly pools: number;
  /** That a worker's list of start results is more than `ok`. */
  readonly badStarts: number;
  /** That the first start of all is among the bad ones. */
  readonly badBoot: number;
  readonly asks: number;
  readonly significant: number;
  /** That a worker does not simply obey when it is to end. */
  readonly disobedient: number;
  /** That a nested supervisor is killed when it is to end. */
  readonly brutalSupervisors: number;
  readonly intensityMin: number;
  readonly intensityMax: number;
  /** Whole seconds. */
  readonly period: number;
  readonly steps: Readonly<Partial<Record<StepKind, number>>>;
}

const USUAL: Omit<Family, 'name' | 'scripts'> = {
  depthMax: 1,
  root: 'supervisor',
  pools: 0,
  badStarts: 0.1,
  badBoot: 0,
  asks: 0,
  significant: 0,
  disobedient: 0.2,
  brutalSupervisors: 0,
  intensityMin: 0,
  intensityMax: 6,
  period: 60,
  steps: { exit: 10, 'list-children': 1, 'count-children': 1 },
};

const ADMIN: Family['steps'] = { 'start-child': 2, requests: 6, 'count-children': 1, 'list-children': 1 };

const FAMILIES: readonly Family[] = [
  { ...USUAL, name: 'flat', scripts: 36, badStarts: 0 },
  { ...USUAL, name: 'failing-starts', scripts: 30, badStarts: 0.7, intensityMin: 1, intensityMax: 10 },
  { ...USUAL, name: 'boot', scripts: 24, depthMax: 2, pools: 0.1, badStarts: 0.5, badBoot: 0.6 },
  { ...USUAL, name: 'shutdown', scripts: 20, depthMax: 2, pools: 0.1, disobedient: 0.9, intensityMin: 2 },
  { ...USUAL, name: 'significant', scripts: 30, depthMax: 2, significant: 0.8, intensityMin: 1 },
  { ...USUAL, name: 'nested', scripts: 36, depthMax: 3, pools: 0.1, significant: 0.3, intensityMax: 3 },
  { ...USUAL, name: 'admin', scripts: 32, badStarts: 0.3, significant: 0.2, steps: { exit: 6, ...ADMIN } },
  { ...USUAL, name: 'nested-admin', scripts: 16, depthMax: 3, pools: 0.1, steps: { exit: 6, ...ADMIN } },
  { ...USUAL, name: 'pool', scripts: 26, root: 'pool', disobedient: 0.4, steps: { exit: 8, ...ADMIN } },
  { ...USUAL, name: 'pool-below', scripts: 12, depthMax: 2, pools: 0.6, steps: { exit: 8, ...ADMIN } },
  { ...USUAL, name: 'together', scripts: 24, pools: 0.1, intensityMin: 2, steps: { exit: 1, 'exit-together': 6 } },
  { ...USUAL, name: 'asked-behind', scripts: 20, intensityMin: 1, steps: { exit: 1, 'exit-then-ask': 4 } },
  { ...USUAL, name: 'asks', scripts: 30, badStarts: 0.8, asks: 0.7, intensityMin: 2, intensityMax: 10 },
  { ...USUAL, name: 'spaced', scripts: 12, intensityMin: 1, intensityMax: 2, period: 2, steps: { exit: 3, wait: 2 } },
  {
    ...USUAL,
    name: 'orphans',
    scripts: 16,
    depthMax: 3,
    brutalSupervisors: 0.5,
    intensityMin: 1,
    steps: { exit: 6, 'kill-supervisor': 4, 'list-children': 1 },
  },
];

/** Draws all scripts of a seed. */
export function generateScripts(seed: string): readonly Script[] {
  return FAMILIES.flatMap((family) =>
    Array.from({ length: family.scripts }, (_, index) => {
      const name = `${family.name}-${index + 1}`;
      const dice = new Dice(`${seed}/${name}`);
      const root = family.root === 'pool' ? drawPool(dice, family, '.') : drawSupervisor(dice, family, '.', 1);
      return { name, root, steps: drawSteps(dice.fork('steps'), family, root) };
    }),
  );
}
