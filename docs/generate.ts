/**
 * Writes the pages that the code already knows: docs/machines.md from the machines (as Mermaid state diagrams) and
 * docs/failures.md from the failure table. `npm run docs` writes them, a test compares them.
 */
import { writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import type { AnyStateMachine, AnyStateNode, AnyTransitionDefinition } from 'xstate';
import { createCostMachine } from '../src/actors/cost-tracker.ts';
import { createHealthMachine } from '../src/actors/health-monitor.ts';
import { createProviderMachine } from '../src/actors/provider.ts';
import { createProviderMemory } from '../src/actors/provider-memory.ts';
import { createServiceMachine } from '../src/actors/service.ts';
import { ERROR_POLICY, FAILURE_POLICY } from '../src/contract/failures.ts';
import { resolveConfig } from '../src/config/resolve.ts';
import { MemoryLedger } from '../src/stores/memory-ledger.ts';
import { VirtualClock } from '../src/testing/virtual-clock.ts';

interface Diagram {
  readonly title: string;
  readonly machine: AnyStateMachine;
  /** What the picture cannot say. */
  readonly text: string;
}

/** The whole of docs/machines.md. */
export function renderDiagrams(): string {
  const intro = [
    '# The machines',
    '',
    'Drawn from the code by `npm run docs`; do not edit by hand. Every actor is an XState root of its own. `restoring`',
    'is where an incarnation starts: it goes on from what the one before it knew.',
  ];
  const sections = diagrams().map(({ title, machine, text }) =>
    [`## ${title}`, '', text, '', '```mermaid', 'stateDiagram-v2', ...drawMachine(machine), '```'].join('\n'),
  );
  return `${intro.join('\n')}\n\n${sections.join('\n\n')}\n`;
}

function diagrams(): readonly Diagram[] {
  const clock = new VirtualClock();
  const announce = () => undefined;
  const { config } = resolveConfig({ providers: { example: { adapter: 'mock', models: ['model'] } } }, { env: {} });
  const [provider] = config.providers;
  if (provider === undefined) throw new TypeError('expected the example config to have a provider');
  return [
    {
      title: 'provider',
      machine: createProviderMachine({ memory: createProviderMemory(provider, 0), clock, announce }),
      text: 'One per provider. Three regions side by side: the breaker (may it be called?), the gate (were we told to wait?) and the credentials (is a key left?).',
    },
    {
      title: 'health-monitor',
      machine: createHealthMachine({ memory: {}, clock, announce, providers: () => [], startCheck: () => undefined }),
      text: 'Looks at every provider once a second and asks an idle one every `health.intervalMs`.',
    },
    {
      title: 'cost-tracker',
      machine: createCostMachine({
        ledger: new MemoryLedger({}),
        memory: { pending: [], writing: 0, written: 0, waiting: [] },
        announce,
      }),
      text: 'Writes ledger entries in groups; what is not written yet is kept across a crash.',
    },
    {
      title: 'service',
      machine: createServiceMachine({ isDraining: false }),
      text: 'Makes the routing decisions.',
    },
  ];
}

/** Regions side by side need a box around them. */
function drawMachine({ id, root }: AnyStateMachine): string[] {
  if (root.type !== 'parallel') return drawStates(root, 1);
  return [`  state "${id}" as ${id} {`, ...drawStates(root, 2), '  }'];
}

function drawStates(parent: AnyStateNode, depth: number): string[] {
  const pad = '  '.repeat(depth);
  const children = Object.values(parent.states);
  const isParallel = parent.type === 'parallel';
  const lines = children.flatMap((child, index) => {
    const inner = drawStates(child, depth + 1);
    const box = inner.length === 0 ? [] : [`${pad}state "${child.key}" as ${nameOf(child)} {`, ...inner, `${pad}}`];
    const leaf = inner.length === 0 ? [`${pad}state "${child.key}" as ${nameOf(child)}`] : [];
    return [...(isParallel && index > 0 ? [`${pad}--`] : []), ...box, ...leaf];
  });
  const initial = parent.type === 'compound' ? parent.initial.target : undefined;
  const start = initial?.[0] === undefined ? [] : [`${pad}[*] --> ${nameOf(initial[0])}`];
  return [...lines, ...start, ...children.flatMap((child) => drawTransitions(child, pad))];
}

/** Transitions that change the state; those that only change what the actor knows would hide them. */
function drawTransitions(node: AnyStateNode, pad: string): string[] {
  const all: AnyTransitionDefinition[] = [...node.transitions.values()].flat();
  return [...all, ...(node.always ?? [])].flatMap((transition) => {
    const target = transition.target?.[0];
    if (target === undefined) return [];
    return [`${pad}${nameOf(node)} --> ${nameOf(target)}: ${labelOf(transition)}`];
  });
}

function labelOf({ eventType, guard }: AnyTransitionDefinition): string {
  const event = String(eventType)
    .replace(/^xstate\.after\.(.+?)\..*$/, 'after $1')
    .replace(/^xstate\.(done|error)\.actor\..*$/, '$1')
    .replace(/^after (\d+)$/, 'after $1 ms');
  const condition =
    typeof guard === 'string'
      ? guard
      : typeof guard === 'object' && guard !== null && 'type' in guard
        ? guard.type
        : undefined;
  return (
    [event === '' ? undefined : event, condition === undefined ? undefined : `[${condition}]`]
      .filter(Boolean)
      .join(' ') || 'at once'
  );
}

function nameOf(node: AnyStateNode): string {
  return node.path.join('_').replaceAll('-', '_');
}

/** The whole of docs/failures.md. */
export function renderFailures(): string {
  const attempts = Object.entries(FAILURE_POLICY).map(
    ([kind, { outcome, breaker, retryHere, nextCandidate, effect, code }]) =>
      row([`\`${kind}\``, outcome, breaker, retryHere, nextCandidate, effect === 'none' ? '' : effect, `\`${code}\``]),
  );
  const errors = Object.entries(ERROR_POLICY).map(
    ([code, { httpStatus, openaiType, openaiCode, anthropicType, clientRetry }]) =>
      row([
        `\`${code}\``,
        String(httpStatus),
        `\`${openaiType}\` / \`${openaiCode}\``,
        `\`${anthropicType}\``,
        clientRetry ? 'yes' : 'no',
      ]),
  );
  return [
    '# What failures mean',
    '',
    'Written from `src/contract/failures.ts` by `npm run docs`; do not edit by hand.',
    '',
    '## A failed attempt',
    '',
    'Adapters put whatever went wrong into one of these classes. `backoff` waits with full jitter within the retry budget,',
    '`gate` waits for what Retry-After said. `code` is what the caller sees when it was the last attempt.',
    '',
    row(['class', 'outcome', 'breaker counts', 'retried here', 'next candidate', 'also', 'code']),
    row(Array.from({ length: 7 }, () => '---')),
    ...attempts,
    '',
    '## An error',
    '',
    'Every failure is a `SwitchgearError` with one of these codes; over HTTP it is always in `x-switchgear-error`. Where a',
    "client's own retry would only repeat what the service has done, `x-should-retry: false` says so.",
    '',
    row(['code', 'HTTP', 'OpenAI type / code', 'Anthropic type', 'worth a retry by the client']),
    row(Array.from({ length: 5 }, () => '---')),
    ...errors,
    '',
  ].join('\n');
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await writeFile(new URL('machines.md', import.meta.url), renderDiagrams());
  await writeFile(new URL('failures.md', import.meta.url), renderFailures());
}
