/** `status`: who can answer, who waits for whom, and how the tree of actors stands, on one screen. */
import { ADMIN_TIMEOUT_MS, type AddCommand, type CommandContext } from './session.ts';
import { printable, renderDuration, renderOptional, renderTable } from './render.ts';
import {
  parseBody,
  providersBody,
  queueBody,
  treeBody,
  type ActorNode,
  type ProviderRow,
  type ProvidersBody,
  type QueueBody,
} from './wire.ts';

export const addStatus: AddCommand = (program, session) => {
  program
    .command('status')
    .description('show providers, breakers, the queue and the tree of actors')
    .action((_options: unknown, command) => session.run(command, printStatus));
};

async function printStatus(context: CommandContext): Promise<void> {
  const client = context.client();
  const signal = context.shell.interrupt();
  const read = (path: string): Promise<unknown> =>
    client.ask({ method: 'GET', path, signal, timeoutMs: ADMIN_TIMEOUT_MS });
  const [tree, providers, queue] = await Promise.all([
    read('/admin/tree'),
    read('/admin/providers'),
    read('/admin/queue'),
  ]);
  const parsed = {
    tree: parseBody(treeBody, tree, client.url),
    providers: parseBody(providersBody, providers, client.url),
    queue: parseBody(queueBody, queue, client.url),
  };
  const text = [
    renderProviders(parsed.providers, Date.now()),
    renderQueue(parsed.queue),
    renderTable(['ACTOR', 'STATE', 'RESTARTS', 'INCARNATION'], actorRows(parsed.tree.children, 0)),
  ].join('\n');
  await context.show({ tree, providers, queue }, text);
}

function renderProviders({ providers, leftOut }: ProvidersBody, nowMs: number): string {
  const table = renderTable(
    ['PROVIDER', 'STATUS', 'BREAKER', 'GATE', 'IN FLIGHT', 'UPTIME 24 H', 'P50', 'P95', 'LAST ERROR'],
    Object.entries(providers).map(([name, provider]) => providerCells(name, provider, nowMs)),
  );
  return table + (leftOut ?? []).map(({ name, reason }) => `Left out: ${printable(`${name}: ${reason}`)}\n`).join('');
}

/** Requests are counted once, in the heading; in their lanes some may stand more than once. */
function renderQueue({ open, waiting, running, parked, lanes }: QueueBody): string {
  const inMemory = typeof waiting === 'number' ? `${waiting} waiting, ${running ?? '-'} running` : `${open} open`;
  const total = (parked ?? 0) === 0 ? inMemory : `${inMemory}, ${parked} more waiting in the store`;
  const table = renderTable(
    [`QUEUE (${total})`, 'WAITING', 'RUNNING', 'LIMIT'],
    lanes.map((lane) => [
      lane.provider + (lane.paused === true ? ' (paused)' : ''),
      `${lane.waiting}`,
      `${lane.running}`,
      `${lane.limit}`,
    ]),
  );
  const inLanes = lanes.reduce((sum, lane) => sum + lane.waiting, 0);
  if (inLanes <= (waiting ?? inLanes)) return table;
  return `${table}Lanes overlap: a request that several providers may take waits in the lane of each.\n`;
}

function providerCells(name: string, provider: ProviderRow, nowMs: number): string[] {
  const { breaker, latency, state } = provider;
  const probeInMs =
    breaker.nextProbeAt === null || breaker.nextProbeAt === undefined ? undefined : breaker.nextProbeAt - nowMs;
  const probe = probeInMs !== undefined && probeInMs > 0 ? ` (probe in ${renderDuration(probeInMs)})` : '';
  return [
    name,
    provider.status + describeWhy(provider),
    breaker.state + probe,
    describeGate(state),
    renderOptional(state?.concurrency, ({ inFlight, limit }) => `${inFlight}/${Math.floor(limit)}`),
    renderOptional(provider.uptimePercent, (percent) => `${percent.toFixed(1)} %`),
    renderOptional(latency?.p50Ms, renderDuration),
    renderOptional(latency?.p95Ms, renderDuration),
    renderOptional(
      provider.recentErrors?.[0],
      ({ at, message }) =>
        `${renderDuration(Math.max(0, nowMs - at))} ago: ${message.length > 60 ? `${message.slice(0, 59)}…` : message}`,
    ),
  ];
}

/** What the status alone does not say, and no other column either. */
function describeWhy({ reason, breaker, state }: ProviderRow): string {
  if (state?.isDown === true) return ' (down)';
  if (state?.isSuspended === true) return ' (suspended)';
  const blocked = (state?.credentials ?? []).filter(
    (credential) => credential.state === 'disabled' || credential.state === 'exhausted',
  );
  if (blocked.length > 0) return ` (key ${blocked.map(({ id, state: why }) => `${id} ${why}`).join(', ')})`;
  const words = describeReason(reason, breaker);
  return words === undefined ? '' : ` (${words})`;
}

function describeReason(reason: ProviderRow['reason'], breaker: ProviderRow['breaker']): string | undefined {
  const { failureCount, successCount } = breaker;
  switch (reason) {
    case null:
    case undefined:
    case 'breaker-open':
    case 'breaker-half-open':
      return undefined;
    case 'failing':
      return `${failureCount ?? '-'} of ${(failureCount ?? 0) + (successCount ?? 0)} failed`;
    case 'rate-limited':
    case 'check-failed':
    case 'no-usable-key':
      return reason.replaceAll('-', ' ');
    // The word of a newer daemon.
    default:
      return reason;
  }
}

function describeGate(state: ProviderRow['state']): string {
  if (state === null || state === undefined) return '-';
  const waits = (state.credentials ?? []).flatMap(({ heldForMs }) =>
    heldForMs === null || heldForMs === undefined ? [] : [heldForMs],
  );
  return state.gate === 'held' && waits.length > 0 ? `held ${renderDuration(Math.min(...waits))}` : (state.gate ?? '-');
}

function actorRows(actors: readonly ActorNode[], depth: number): string[][] {
  return actors.flatMap((actor) => [
    [`${'· '.repeat(depth)}${actor.id}`, actor.state, `${actor.restarts}`, `${actor.incarnation}`],
    ...actorRows(actor.children ?? [], depth + 1),
  ]);
}
