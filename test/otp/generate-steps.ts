/**
 * Draws the steps of fault scripts. Who is alive when a step comes is known only to the run, so each step is a list of
 * alternatives in drawn order, of which the first possible one is played.
 */
import type { Dice } from '../simulation/dice.ts';
import type { Family } from './generate.ts';
import { drawStarts, drawSupervisor, drawWorker } from './generate-tree.ts';
import type { Request, ChildPlan, EndReason, PoolPlan, StartResult, Step, SupervisorPlan } from './script.ts';

const REASON_WEIGHTS: Readonly<Record<EndReason, number>> = {
  error: 5,
  killed: 2,
  normal: 3,
  shutdown: 2,
  'shutdown:x': 2,
};
/** Longer than the period by more than the second to which OTP rounds its clock. */
const WAIT_SLACK_MS = 1_300;

interface Host {
  readonly path: string;
  readonly plan: SupervisorPlan | PoolPlan;
  /** Ids that were ever there. */
  readonly ids: string[];
}

/** Everything that is or may come to be in the tree. */
interface Territory {
  readonly hosts: Host[];
  readonly workers: { readonly path: string; readonly at: string }[];
}

/** Steps for a tree; the last stops it. */
export function drawSteps(dice: Dice, family: Family, root: SupervisorPlan | PoolPlan): readonly (readonly Step[])[] {
  const territory: Territory = { hosts: [], workers: [] };
  explore(territory, root, '.');
  const steps: (readonly Step[])[] = [];
  for (const host of territory.hosts)
    if (host.plan.type === 'pool')
      for (let count = dice.integer(1, 4); count > 0; count--) steps.push([startChild(dice, family, territory, host)]);
  for (let count = dice.integer(5, 10); count > 0; count--) steps.push(...drawStep(dice, family, territory));
  return [...steps, [{ do: 'stop' }]];
}

function explore(territory: Territory, plan: SupervisorPlan | PoolPlan, path: string): void {
  const host: Host = { path, plan, ids: [] };
  territory.hosts.push(host);
  if (plan.type === 'supervisor') for (const child of plan.children) settle(territory, host, child);
}

function settle(territory: Territory, host: Host, child: ChildPlan): void {
  host.ids.push(child.id);
  const path = pathBelow(host, child.id);
  if (child.type === undefined) territory.workers.push({ path, at: host.path });
  else explore(territory, child, path);
}

function pathBelow(host: Host, id: string): string {
  return host.path === '.' ? id : `${host.path}/${id}`;
}

function drawStep(dice: Dice, family: Family, territory: Territory): readonly (readonly Step[])[] {
  const kind = dice.weighted(family.steps);
  switch (kind) {
    case 'exit': {
      const reason = dice.weighted(REASON_WEIGHTS);
      return [shuffled(dice, territory.workers).map(({ path }) => ({ do: 'exit', path, reason }))];
    }
    case 'kill-supervisor': {
      const nested = shuffled(dice, territory.hosts).filter(({ path }) => path !== '.');
      return [nested.map(({ path }) => ({ do: 'exit', path, reason: 'killed' }))];
    }
    case 'exit-together':
      return [drawTogether(dice, territory)];
    case 'exit-then-ask':
      return [drawExitThenAsk(dice, territory)];
    case 'wait':
      return [[{ do: 'wait', ms: family.period * 1_000 + WAIT_SLACK_MS }]];
    case 'start-child': {
      const hosts = shuffled(dice, territory.hosts);
      return [hosts.map((host) => startChild(dice, family, territory, host))];
    }
    case 'requests':
      return drawRequests(dice, family, territory, dice.pick(territory.hosts));
    case 'count-children':
    case 'list-children':
      return [shuffled(dice, territory.hosts).map(({ path }) => ({ do: kind, at: path }))];
  }
}

/** Two children of one supervisor; when no two are alive, one. */
function drawTogether(dice: Dice, territory: Territory): readonly Step[] {
  const reason = dice.weighted(REASON_WEIGHTS);
  const workers = shuffled(dice, territory.workers);
  const pairs = workers.flatMap((one) =>
    workers.filter((other) => other.at === one.at && other.path !== one.path).map((other) => [one, other] as const),
  );
  return [
    ...pairs.map(([one, other]): Step => ({ do: 'exit-together', at: one.at, paths: [one.path, other.path], reason })),
    ...workers.map(({ path }): Step => ({ do: 'exit', path, reason })),
  ];
}

function drawExitThenAsk(dice: Dice, territory: Territory): readonly Step[] {
  const reason = dice.weighted(REASON_WEIGHTS);
  const kind = dice.weighted({ 'terminate-child': 3, 'restart-child': 2, 'delete-child': 1, 'list-children': 2 });
  const inStatic = territory.workers.filter(({ at }) => hostAt(territory, at)?.plan.type === 'supervisor');
  return shuffled(dice, inStatic).map(({ path, at }): Step => {
    const ids = hostAt(territory, at)?.ids ?? [];
    const id = dice.chance(0.6) ? path.slice(path.lastIndexOf('/') + 1) : dice.pick(ids);
    return {
      do: 'exit-then-ask',
      path,
      reason,
      request: kind === 'list-children' ? { do: kind, at } : { do: kind, at, id },
    };
  });
}

function hostAt(territory: Territory, path: string): Host | undefined {
  return territory.hosts.find((host) => host.path === path);
}

function startChild(dice: Dice, family: Family, territory: Territory, host: Host): Request {
  if (host.plan.type === 'pool') {
    const name = `w${host.ids.length + 1}`;
    settle(territory, host, { id: name, ...host.plan.template });
    return { do: 'start-instance', at: host.path, name, starts: drawInstanceStarts(dice, family) };
  }
  const id = dice.pick([...host.ids, 'x', 'y', 'z']);
  if (host.ids.includes(id))
    return { do: 'start-child', at: host.path, plan: drawKnown(dice, family, territory, { host, id }) };
  const plan = dice.chance(0.2)
    ? drawSupervisor(dice, { ...family, pools: 0 }, id, family.depthMax)
    : drawWorker(dice, { ...family, badBoot: 0.2 }, id, false);
  settle(territory, host, plan);
  return { do: 'start-child', at: host.path, plan };
}

/** A plan for an id that was there before. What was a supervisor there stays one: steps are drawn by the path. */
function drawKnown(
  dice: Dice,
  family: Family,
  territory: Territory,
  { host, id }: { readonly host: Host; readonly id: string },
): ChildPlan {
  return hostAt(territory, pathBelow(host, id))?.plan ?? drawWorker(dice, family, id, false);
}

/** OTP 25 keeps what was ignored at a restart as an instance without a process, and crashes over it at its end. */
function drawInstanceStarts(dice: Dice, family: Family): readonly StartResult[] {
  const starts = drawStarts(dice, { ...family, badStarts: Math.max(family.badStarts, 0.3), badBoot: 0.15 });
  return starts.filter((result, index) => result !== 'ignore' || index === 0);
}

/** Requests about one child of `host`, so that one finds what another has left. */
function drawRequests(dice: Dice, family: Family, territory: Territory, host: Host): readonly (readonly Step[])[] {
  const at = host.path;
  // A pool knows no other request.
  if (host.plan.type === 'pool') return [[{ do: 'terminate-instance', at, name: dice.pick([...host.ids, 'w1']) }]];
  const id = dice.chance(0.1) ? 'nobody' : dice.pick(host.ids);
  const isTerminatedFirst = dice.chance(0.5);
  return Array.from({ length: dice.integer(2, 4) }, (_, index): readonly Step[] => {
    if (isTerminatedFirst && index === 0) return [{ do: 'terminate-child', at, id }];
    const kind = dice.weighted({
      'terminate-child': 2,
      'restart-child': 3,
      'delete-child': 2,
      'start-child': 2,
      'list-children': 1,
      'count-children': 1,
    });
    switch (kind) {
      case 'start-child':
        return [{ do: kind, at, plan: drawKnown(dice, family, territory, { host, id }) }];
      case 'list-children':
      case 'count-children':
        return [{ do: kind, at }];
      default:
        return [{ do: kind, at, id }];
    }
  });
}

function shuffled<Value>(dice: Dice, values: readonly Value[]): readonly Value[] {
  const left = [...values];
  return values.map(() => {
    const [value] = left.splice(dice.integer(0, left.length - 1), 1);
    // `left` has had a value for each of `values`.
    return value as Value;
  });
}
