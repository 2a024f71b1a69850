/** Plays a script's request to one of our supervisors or pools, and gives the answer in the words of the recordings. */
import type { ChildState } from '../../src/contract/state.ts';
import { Pool } from '../../src/supervision/pool.ts';
import { type Process, SupervisorError } from '../../src/supervision/process.ts';
import type { Supervisor } from '../../src/supervision/supervisor.ts';
import type { Host, Instance, PlantedTree } from './planted-tree.ts';
import { pathBelow } from './recordings.ts';
import type { Request } from './script.ts';

/** Rejects only when the request makes no sense there. */
export async function answerTo(tree: PlantedTree, host: Host, request: Request): Promise<string> {
  return host instanceof Pool ? askPool(tree, host, request) : askSupervisor(tree, host, request);
}

function askSupervisor(tree: PlantedTree, host: Supervisor, request: Request): Promise<string> {
  switch (request.do) {
    case 'start-child':
      return told(host.startChild(tree.spec(request.plan, request.at, () => host)), startedText);
    case 'terminate-child':
      return told(host.terminateChild(request.id), () => 'ok');
    case 'restart-child':
      return told(host.restartChild(request.id), startedText);
    case 'delete-child':
      return told(host.deleteChild(request.id), () => 'ok');
    case 'count-children':
      return inTurn(host, () => countsText(host.countChildren()));
    case 'list-children':
      return inTurn(host, () => host.children().map(stateText).join(' '));
    default:
      throw new TypeError(`expected a request to a supervisor, got: ${request.do}`);
  }
}

function askPool(tree: PlantedTree, host: Pool<Instance>, request: Request): Promise<string> {
  switch (request.do) {
    case 'start-instance':
      return told(host.startChild({ name: request.name, starts: request.starts }), startedText);
    case 'terminate-instance': {
      const process = tree.chronicle.last(pathBelow(request.at, request.name));
      if (process === undefined) throw new TypeError(`expected ${request.name} to have been started`);
      return told(host.terminateChild(process), () => 'ok');
    }
    case 'count-children':
      // OTP counts the template alone as a spec; ours has no specs to count but those of its children.
      return Promise.resolve(countsText({ ...host.countChildren(), specs: 1 }));
    case 'list-children': {
      const prefix = pathBelow(request.at, '');
      const states = host.children().map((child) => stateText({ ...child, id: child.id.slice(prefix.length) }));
      return Promise.resolve(states.toSorted().join(' '));
    }
    default:
      throw new TypeError(`expected a request to a pool, got: ${request.do}`);
  }
}

/**
 * Ours answers at once how many children there are and which; OTP when it has done what it is doing. Here it is asked at the
 * moment when something that has to wait for its turn has had it.
 */
function inTurn(host: Supervisor, read: () => string): Promise<string> {
  return host.deleteChild('nobody at all').then(read, (error: unknown) => {
    const code = codeOf(error);
    return code === 'not-found' ? read() : code;
  });
}

function told<Value>(answering: Promise<Value>, text: (value: Value) => string): Promise<string> {
  return answering.then(text, codeOf);
}

/** OTP's supervisor has no process to answer any more when it has ended; ours refuses. @throws what is no answer */
export function codeOf(error: unknown): string {
  if (!(error instanceof SupervisorError)) throw error;
  return error.code === 'stopped' ? 'noproc' : error.code;
}

function countsText({ specs, active, supervisors, workers }: ReturnType<Host['countChildren']>): string {
  return `specs ${specs} active ${active} supervisors ${supervisors} workers ${workers}`;
}

function startedText(process: Process | undefined): string {
  return process === undefined ? 'ignored' : 'ok';
}

function stateText({ id, state }: ChildState): string {
  return `${id}:${state === 'running' || state === 'restarting' ? state : 'none'}`;
}
