/** Plays a recorded script on our own supervisors, under virtual time, and writes down what they do. */
import { Pool } from '../../src/supervision/pool.ts';
import type { Process } from '../../src/supervision/process.ts';
import { Supervisor } from '../../src/supervision/supervisor.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { ScriptedProcess } from '../support/scripted-process.ts';
import { exitReason, type Host, PlantedTree } from './planted-tree.ts';
import { answerTo, codeOf } from './requests.ts';
import type { EndReason, Outcome, RecordedScript, Request, Step } from './script.ts';

/** Longer than all that one step can set in motion takes together. */
const STEP_MS_MAX = 1_000;

export interface Replayed {
  /** Of the boot and of each step. */
  readonly outcomes: readonly Outcome[];
  /** Processes and timers that are left. */
  readonly remains: { readonly processes: number; readonly timers: number };
}

/** Plays all steps. Rejects when one of them makes no sense, which means that something before it went another way. */
export async function replay(script: RecordedScript): Promise<Replayed> {
  const clock = new VirtualClock();
  const tree: PlantedTree = new PlantedTree(clock, (host, request) => {
    ask(tree, host, request);
  });
  const outcomes = [await whenQuiet(clock, tree, boot(tree, script))];
  for (const { step } of script.steps) {
    if (step.do === 'wait') await clock.advance(step.ms);
    outcomes.push(await whenQuiet(clock, tree, play(tree, step)));
  }
  return { outcomes, remains: { processes: tree.chronicle.livingCount, timers: clock.pendingTimers } };
}

async function boot(tree: PlantedTree, { root }: RecordedScript): Promise<string> {
  const attempt = tree.chronicle.begin('.');
  try {
    tree.chronicle.started('.', attempt, await tree.plant(root, '.'));
    return 'ok';
  } catch (error) {
    return codeOf(error);
  }
}

/** The outcome of a step when nothing moves any more; an answer that has not come by then never comes. */
async function whenQuiet(clock: VirtualClock, tree: PlantedTree, playing: Promise<string>): Promise<Outcome> {
  // Its failure is seen below, when it is waited for.
  playing.catch(() => undefined);
  const untilMs = clock.nowMs() + STEP_MS_MAX;
  await clock.settle();
  while (await clock.step(untilMs)) {
    // One step fires one timer.
  }
  return tree.chronicle.take(await Promise.race([playing, clock.settle().then(() => 'no answer')]));
}

async function play(tree: PlantedTree, step: Step): Promise<string> {
  switch (step.do) {
    case 'exit':
      end(livingAt(tree, step.path), step.reason);
      return 'ok';
    case 'exit-together':
      for (const path of step.paths) end(livingAt(tree, path), step.reason);
      return 'ok';
    case 'exit-then-ask':
      end(livingAt(tree, step.path), step.reason);
      ask(tree, hostAt(tree, step.request.at), step.request);
      return 'ok';
    case 'wait':
      return 'ok';
    case 'stop':
      await livingAt(tree, '.').stop();
      return 'ok';
    default:
      return answerTo(tree, hostAt(tree, step.at), step);
  }
}

/** Lets nobody wait for the answer, which is written down when it comes. */
function ask(tree: PlantedTree, host: Host, request: Request): void {
  // `answerTo` rejects only when the script does not fit; then the answer is missed.
  void answerTo(tree, host, request).then((answer) => {
    tree.chronicle.asked(answer);
  });
}

function hostAt(tree: PlantedTree, path: string): Host {
  const host = livingAt(tree, path);
  if (host instanceof Supervisor || host instanceof Pool) return host;
  throw new TypeError(`expected ${path} to be a supervisor or a pool`);
}

function livingAt(tree: PlantedTree, path: string): Process {
  const process = tree.chronicle.find(path);
  if (process === undefined) throw new TypeError(`expected ${path} to be alive`);
  return process;
}

function end(process: Process, reason: EndReason): void {
  if (reason === 'killed') process.kill?.();
  else if (process instanceof ScriptedProcess) process.exit(exitReason(reason));
  else throw new TypeError(`expected ${process.id} to be a worker`);
}
