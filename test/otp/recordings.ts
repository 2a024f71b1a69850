/** Reads traces.jsonl, and brings a trace into the form in which two of them are compared. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ChildPlan, Outcome, PoolPlan, RecordedScript, RecordingHead, SupervisorPlan } from './script.ts';

export interface Recordings {
  readonly head: RecordingHead;
  readonly scripts: readonly RecordedScript[];
}

/** All scripts with what OTP did. */
export function loadRecordings(): Recordings {
  const lines = readFileSync(join(import.meta.dirname, 'traces.jsonl'), 'utf8')
    .trimEnd()
    .split('\n');
  const [head, ...scripts] = lines.map((line): unknown => JSON.parse(line));
  // record.ts has written the file in this form.
  return { head: head as RecordingHead, scripts: scripts as RecordedScript[] };
}

/** What one step did, every field filled in, without the order that OTP does not give. */
export type Comparable = Required<Outcome>;

/**
 * Instances of a pool that end one right after the other were stopped all at once, in no order. When a supervisor is killed,
 * its children hear of it while its parent starts it again: nothing in such a script has an order. Its grandchildren are still
 * shut down in order there, and are killed with it here, where nobody is left to wait for them: their reasons differ.
 */
export function comparableOutcomes(script: RecordedScript, outcomes: readonly Outcome[]): readonly Comparable[] {
  const hosts = hostsOf(script);
  const order = hasOrphans(script, hosts)
    ? (events: readonly string[]) => events.map(withoutLateReason).toSorted()
    : (events: readonly string[]) => sortPoolEnds(events, hosts);
  return outcomes.map(({ answer = 'ok', events = [], asked = [], gaveUp = [] }) => ({
    answer,
    events: order(events),
    asked,
    gaveUp,
  }));
}

/** A supervisor or pool of a script. */
export interface Host {
  readonly path: string;
  readonly plan: SupervisorPlan | PoolPlan;
}

/** Every supervisor and pool that may come to be. */
export function hostsOf({ root, steps }: RecordedScript): readonly Host[] {
  const added = steps.flatMap(({ step }) =>
    step.do === 'start-child' ? hostsBelow(step.plan, pathBelow(step.at, step.plan.id)) : [],
  );
  return [...hostsBelow(root, '.'), ...added];
}

function hostsBelow(plan: ChildPlan, path: string): readonly Host[] {
  if (plan.type === undefined) return [];
  const children = plan.type === 'pool' ? [] : plan.children;
  return [{ path, plan }, ...children.flatMap((child) => hostsBelow(child, pathBelow(path, child.id)))];
}

/** The path of a child. */
export function pathBelow(path: string, id: string): string {
  return path === '.' ? id : `${path}/${id}`;
}

function hasOrphans({ steps }: RecordedScript, hosts: readonly Host[]): boolean {
  return (
    hosts.some(({ plan }) => plan.shutdown === 'brutal-kill') ||
    steps.some(({ step }) => step.do === 'exit' && hosts.some(({ path }) => path === step.path))
  );
}

function withoutLateReason(event: string): string {
  const [kind, path = '', attempt] = event.split(' ');
  return kind === '-' && path.split('/').length > 2 ? `${kind} ${path} ${attempt}` : event;
}

function sortPoolEnds(events: readonly string[], hosts: readonly Host[]): readonly string[] {
  const pools = new Set(hosts.filter(({ plan }) => plan.type === 'pool').map(({ path }) => path));
  const runs: { readonly pool: string | undefined; readonly events: string[] }[] = [];
  for (const event of events) {
    const pool = endedIn(event, pools);
    const run = runs.at(-1);
    if (pool === undefined || run?.pool !== pool) runs.push({ pool, events: [event] });
    else run.events.push(event);
  }
  return runs.flatMap((run) => run.events.toSorted());
}

/** The pool whose instance has ended with this event. */
function endedIn(event: string, pools: ReadonlySet<string>): string | undefined {
  const [kind, path = ''] = event.split(' ');
  if (kind !== '-' || path === '.') return undefined;
  const pool = path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '.';
  return pools.has(pool) ? pool : undefined;
}
