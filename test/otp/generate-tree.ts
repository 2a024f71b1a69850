/** Draws the trees of fault scripts. */
import type { Dice } from '../simulation/dice.ts';
import type { Family } from './generate.ts';
import type { ChildPlan, Limits, PoolPlan, StartResult, SupervisorPlan, TemplatePlan, WorkerPlan } from './script.ts';

const CHILDREN_MAX = 4;
const WORKER_IDS: readonly string[] = ['a', 'b', 'c', 'd'];
/** For those who never end by themselves. */
const SHORT_MS = 40;
const BRUTAL: Limits = { shutdown: 'brutal-kill' };

/** A supervisor at `depth` (the root's is 1) with its children. */
export function drawSupervisor(dice: Dice, family: Family, id: string, depth: number): SupervisorPlan {
  const autoShutdown = dice.chance(family.significant)
    ? dice.pick(['any-significant', 'all-significant'] as const)
    : undefined;
  const children: ChildPlan[] = [];
  const size = dice.integer(depth === 1 ? 2 : 1, CHILDREN_MAX - (depth > 1 ? 1 : 0));
  for (let index = 0; index < size; index++)
    children.push(drawChild(dice, family, { index, depth, canBeSignificant: autoShutdown !== undefined }));
  return {
    id,
    type: 'supervisor',
    ...drawRestart(dice),
    ...(dice.chance(family.brutalSupervisors) ? { shutdown: 'brutal-kill' } : {}),
    strategy: dice.pick(['one-for-one', 'one-for-all', 'rest-for-one']),
    intensity: dice.integer(family.intensityMin, family.intensityMax),
    period: family.period,
    ...(autoShutdown === undefined ? {} : { autoShutdown }),
    children,
  };
}

interface Place {
  readonly index: number;
  readonly depth: number;
  readonly canBeSignificant: boolean;
}

function drawChild(dice: Dice, family: Family, place: Place): ChildPlan {
  const { index, depth } = place;
  const child = dice.chance(family.pools)
    ? drawPool(dice, family, `p${index}`)
    : depth < family.depthMax && dice.chance(0.45)
      ? drawSupervisor(dice, family, `s${index}`, depth + 1)
      : drawWorker(dice, family, WORKER_IDS[index] ?? 'e', depth === 1);
  const isSignificant = place.canBeSignificant && child.restart !== undefined && dice.chance(0.6);
  return isSignificant ? { ...child, significant: true } : child;
}

/** A pool, which starts empty. */
export function drawPool(dice: Dice, family: Family, id: string): PoolPlan {
  return {
    id,
    type: 'pool',
    ...drawRestart(dice),
    intensity: dice.integer(family.intensityMin, family.intensityMax),
    period: family.period,
    template: drawTemplate(dice, family),
  };
}

/** A worker. Asks are drawn only where the supervisor is the root, which is not itself starting again meanwhile. */
export function drawWorker(dice: Dice, family: Family, id: string, isBelowRoot: boolean): WorkerPlan {
  const starts = drawStarts(dice, family, isBelowRoot ? id : undefined);
  return { id, ...drawTemplate(dice, family), ...(starts.length === 0 ? {} : { starts }) };
}

/** Results of the first attempts; empty when all are `ok`. */
export function drawStarts(dice: Dice, family: Family, askedId?: string): readonly StartResult[] {
  if (!dice.chance(family.badStarts)) return [];
  const first: StartResult = dice.chance(family.badBoot) ? dice.pick(['error', 'error', 'ignore']) : 'ok';
  const later: StartResult[] = [];
  const turns = dice.integer(1, 3);
  for (let turn = 0; turn < turns; turn++) {
    const result = dice.weighted({ ok: 2, error: 4, ignore: 1 });
    const repeats = result === 'error' ? dice.integer(1, dice.chance(0.2) ? 8 : 3) : 1;
    for (let repeat = 0; repeat < repeats; repeat++) later.push(drawFailure(dice, family, result, askedId));
  }
  return [first, ...later];
}

function drawFailure(
  dice: Dice,
  family: Family,
  result: 'ok' | 'error' | 'ignore',
  askedId: string | undefined,
): StartResult {
  if (result !== 'error' || askedId === undefined || !dice.chance(family.asks)) return result;
  const asks = Array.from({ length: dice.integer(1, 2) }, () => {
    const kind = dice.pick([
      'terminate-child',
      'restart-child',
      'delete-child',
      'count-children',
      'list-children',
    ] as const);
    return kind === 'count-children' || kind === 'list-children'
      ? { do: kind, at: '.' }
      : { do: kind, at: '.', id: dice.chance(0.75) ? askedId : dice.pick(WORKER_IDS) };
  });
  return { asks };
}

function drawTemplate(dice: Dice, family: Family): TemplatePlan {
  const restart = drawRestart(dice);
  if (!dice.chance(family.disobedient))
    return { ...restart, ...drawLongLimit(dice), ...(dice.chance(0.3) ? BRUTAL : {}) };
  const stop = dice.pick(['late', 'never', 'wrong', 'normal'] as const);
  if (stop !== 'never') return { ...restart, ...drawLongLimit(dice), stop };
  return { ...restart, ...(dice.chance(0.7) ? { shutdown: SHORT_MS } : BRUTAL), stop };
}

/** The default of 5 s is far longer than any child needs that ends at all. */
function drawLongLimit(dice: Dice): Limits {
  return dice.chance(0.3) ? { shutdown: 'infinity' } : {};
}

function drawRestart(dice: Dice): Limits {
  const restart = dice.weighted({ permanent: 5, transient: 3, temporary: 2 });
  return restart === 'permanent' ? {} : { restart };
}
