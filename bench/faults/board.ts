/**
 * Plays faults through systems, many at a time: each has two upstreams of its own and spends its time waiting, so that the
 * whole board takes hardly longer than its longest fault. Those that take longest begin first.
 */
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Fault, FaultDelivery } from './fault.ts';
import type { History } from './history.ts';
import { judge } from './judge.ts';
import { play } from './play.ts';
import type { Board, Cell } from './results.ts';
import { Stage } from './stage.ts';
import type { RunningSubject, Subject } from './subject.ts';

/** Faults that are played at the same time; more of them would get into each other's time on two cores. */
const CONCURRENCY = 48;
const NANOS_PER_MS = 1_000_000;

/** What is played. */
export interface BoardPlan {
  readonly subjects: readonly Subject[];
  readonly faults: readonly Fault[];
  /** Names of packages in `node_modules` next to `root` whose versions are noted. */
  readonly packages: readonly { readonly name: string; readonly root: URL }[];
  /** Told of every cell when it is over. */
  readonly onCell: (cell: Cell) => void;
}

interface Job {
  readonly subject: Subject;
  readonly running: RunningSubject;
  readonly stage: Stage;
  readonly fault: Fault;
  readonly delivery: FaultDelivery;
}

/** Plays everything and closes what it opened. */
export async function runBoard({ subjects, faults, packages, onCell }: BoardPlan): Promise<Board> {
  const versions = await Promise.all(packages.map(async ({ name, root }) => [name, await readVersion(name, root)]));
  const pauses = monitorEventLoopDelay({ resolution: 20 });
  await using opened = new AsyncDisposableStack();
  const jobs: Job[] = [];
  for (const subject of subjects) jobs.push(...(await prepare(subject, faults, opened)));
  pauses.enable();
  const cells = await playAll(jobs, onCell);
  pauses.disable();
  return {
    date: new Date().toISOString(),
    node: process.version,
    cores: availableParallelism(),
    versions: Object.fromEntries(versions),
    settings: Object.fromEntries(subjects.map(({ name, settings }) => [name, settings])),
    pauseMsMax: Math.round(pauses.max / NANOS_PER_MS),
    cells,
  };
}

async function prepare(subject: Subject, faults: readonly Fault[], opened: AsyncDisposableStack): Promise<Job[]> {
  const plan = faults.flatMap((fault) =>
    fault.deliveries
      .filter((delivery) => subject.deliveries.includes(delivery))
      .map((delivery) => ({ fault, delivery })),
  );
  const stages = await Promise.all(
    plan.map(async ({ fault, delivery }) =>
      opened.use(await Stage.open(`${fault.id.toLowerCase().replace('+', '-open')}-${delivery}`)),
    ),
  );
  const running = await subject.start(stages);
  opened.defer(() => running.close());
  return plan.flatMap(({ fault, delivery }, index) => {
    const stage = stages[index];
    return stage === undefined ? [] : [{ subject, running, stage, fault, delivery }];
  });
}

/** Cells in the order of the jobs, whichever ends first. */
async function playAll(jobs: readonly Job[], onCell: (cell: Cell) => void): Promise<readonly Cell[]> {
  const cells = new Map<Job, Cell>();
  const waiting = jobs.toSorted((one, other) => longest(other) - longest(one));
  const worker = async () => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      const cell = await playOne(job);
      cells.set(job, cell);
      onCell(cell);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return jobs.flatMap((job) => cells.get(job) ?? []);
}

const longest = ({ fault }: Job): number => fault.hangMs * fault.requests.length;

async function playOne({ subject, running, stage, fault, delivery }: Job): Promise<Cell> {
  const session = await running.open(stage);
  try {
    const history = await play({ fault, stage, session, delivery });
    return {
      subject: subject.name,
      wire: subject.wire,
      fault: fault.id,
      delivery,
      ...judge(fault, history, { delivery, hasFallback: subject.hasFallback }),
      primary: history.primary.length,
      fallback: history.fallback.length,
      seconds: readSeconds(history),
    };
  } finally {
    await session.close();
  }
}

/** To one decimal. */
function readSeconds({ requests }: History): number {
  const first = requests[0];
  const last = requests.length > 2 ? requests.at(-1) : first;
  return Math.round(((last?.endedAtMs ?? 0) - (first?.askedAtMs ?? 0)) / 100) / 10;
}

async function readVersion(name: string, root: URL): Promise<string> {
  // Every package has a version; anything else fails loudly in the report.
  const manifest = JSON.parse(await readFile(new URL(`node_modules/${name}/package.json`, root), 'utf8')) as {
    readonly version: string;
  };
  return manifest.version;
}
