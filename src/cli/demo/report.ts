/** What the demo shows while it runs and at its end. */
import type { CostSummary, ProviderState } from '../../contract/state.ts';
import { percentile } from '../../policy/health.ts';
import { renderDuration, renderTable, renderUsd } from '../render.ts';
import type { Tally } from './tally.ts';

const BAR_WIDTH = 40;

export interface Screen {
  readonly tally: Tally;
  readonly total: number;
  readonly providers: Readonly<Record<string, ProviderState>>;
}

export function renderScreen({ tally, total, providers }: Screen): readonly string[] {
  const filled = Math.round((tally.settled / total) * BAR_WIDTH);
  const rows = Object.entries(providers).map(([name, { breaker, concurrency }]) => {
    const mark = { closed: '●', halfOpen: '◐', open: '○' }[breaker.state];
    return `  ${mark} ${name.padEnd(8)} ${breaker.state.padEnd(9)} answered ${String(tally.answersOf(name)).padStart(4)}   in flight ${String(concurrency.inFlight).padStart(3)} of ${concurrency.limit}`;
  });
  const last = tally.happenings.at(-1);
  return [
    `  ${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)}  ${tally.settled} of ${total} settled, ${tally.sent - tally.settled} on their way`,
    ...rows,
    `  ${last === undefined ? '' : `${renderMoment(last.atMs)} ${last.text}`}`,
  ];
}

export function renderLine({ tally, total }: Screen): string {
  return `${renderMoment(tally.elapsedMs)} ${tally.settled} of ${total} settled`;
}

export function renderReport(tally: Tally, costs: CostSummary, total: number): string {
  const timeline = tally.happenings.map(({ atMs, text }) => `  ${renderMoment(atMs)} ${text}`).join('\n');
  return [
    `\nTimeline\n${timeline}`,
    `Who answered\n${renderWho(tally)}`,
    `Latency\n${renderLatencies(tally)}`,
    `Costs\n${renderCosts(costs)}`,
    renderVerdict(tally, total),
    '',
  ].join('\n\n');
}

function renderWho(tally: Tally): string {
  const names = [...new Set(tally.answers.map((answer) => answer.provider))].toSorted();
  const rows = names.map((name) => {
    const own = tally.answers.filter((answer) => answer.provider === name);
    return [name, String(own.length), String(own.filter((answer) => answer.attempts > 1).length)];
  });
  return indent(renderTable(['PROVIDER', 'ANSWERS', 'AFTER ANOTHER ATTEMPT FAILED'], rows));
}

function renderLatencies(tally: Tally): string {
  const rows = (['high', 'normal', 'low'] as const).map((priority) => {
    const times = tally.answers.filter((answer) => answer.priority === priority).map((answer) => answer.totalMs);
    const at = (rank: number) => renderDuration(percentile(times, rank) ?? 0);
    return [priority, String(times.length), at(0.5), at(0.95), at(1)];
  });
  return indent(renderTable(['PRIORITY', 'ANSWERS', 'P50', 'P95', 'MAX'], rows));
}

function renderCosts(costs: CostSummary): string {
  const rows = Object.entries(costs.costByModel).map(([model, { usdNanos }]) => [model, renderUsd(usdNanos)]);
  const { inputTokens, outputTokens } = costs.tokenUsage;
  return (
    indent(renderTable(['MODEL', 'COST'], [...rows, ['total', renderUsd(costs.totalCost.usdNanos)]])) +
    `\n  ${inputTokens} tokens in, ${outputTokens} tokens out`
  );
}

function renderVerdict(tally: Tally, total: number): string {
  const lost = total - tally.settled;
  const kept = `${tally.answers.length} of ${total} requests answered, ${tally.rescued} of them after a failed attempt, ${tally.errors.length} failed, ${lost} lost.`;
  return tally.errors.length === 0 ? kept : `${kept}\nFirst failure: ${tally.errors[0]}`;
}

function renderMoment(atMs: number): string {
  return `${(atMs / 1000).toFixed(1).padStart(5)} s`;
}

function indent(table: string): string {
  return table
    .trimEnd()
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n');
}
