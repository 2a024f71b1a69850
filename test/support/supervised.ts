/** A supervisor under virtual time whose children end as told, and what its observers need to see of it. */
import type { ChildSpec, SupervisorOptions } from '../../src/supervision/child-spec.ts';
import type { ExitReason } from '../../src/supervision/process.ts';
import { Supervisor } from '../../src/supervision/supervisor.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { ProcessFactory } from './scripted-process.ts';

export const PERIOD_MS = 5_000;

export interface Scene {
  readonly clock: VirtualClock;
  readonly factory: ProcessFactory;
  readonly supervisor: Supervisor;
  readonly exits: ExitReason[];
}

/** Restarts at once, three times in `PERIOD_MS`, unless `options` say otherwise. */
export function build(
  specs: (factory: ProcessFactory) => readonly ChildSpec[],
  options: Partial<SupervisorOptions> = {},
): Scene {
  const clock = new VirtualClock();
  const factory = new ProcessFactory();
  const supervisor = new Supervisor({
    id: 'root',
    clock,
    children: specs(factory),
    intensity: { restartsMax: 3, periodMs: PERIOD_MS },
    backoff: 'none',
    ...options,
  });
  const exits: ExitReason[] = [];
  supervisor.onExit((reason) => exits.push(reason));
  return { clock, factory, supervisor, exits };
}

export async function run(
  specs: (factory: ProcessFactory) => readonly ChildSpec[],
  options: Partial<SupervisorOptions> = {},
): Promise<Scene> {
  const scene = build(specs, options);
  await scene.supervisor.start();
  return scene;
}

export function states(supervisor: Supervisor): string[] {
  return supervisor.children().map(({ id, state }) => `${id} ${state}`);
}

export function incarnations(supervisor: Supervisor): number[] {
  return supervisor.children().map(({ incarnation }) => incarnation);
}
