/** `costs`: what was spent, by provider, model and tenant, to the nano-dollar. */
import { parseMoment } from './arguments.ts';
import { ADMIN_TIMEOUT_MS, type AddCommand, type CommandContext } from './session.ts';
import { renderOptional, renderTable, renderUsd } from './render.ts';
import { costsBody, parseBody } from './wire.ts';

interface CostsOptions {
  readonly since?: string;
  readonly until?: string;
  readonly provider?: string;
  readonly model?: string;
  readonly tenant?: string;
  readonly tag?: string;
}

export const addCosts: AddCommand = (program, session) => {
  program
    .command('costs')
    .description('show what was spent')
    .option('--since <moment>', 'from then on: 2026-01-31, ISO 8601, or an age such as 24h or 7d', parseMoment)
    .option('--until <moment>', 'before then', parseMoment)
    .option('--provider <name>', 'of one provider')
    .option('-m, --model <model>', 'of one model')
    .option('--tenant <name>', 'of one tenant')
    .option('--tag <tag>', 'of requests with this tag: name or name=value')
    .action((options: CostsOptions, command) => session.run(command, (context) => printCosts(context, options)));
};

async function printCosts(context: CommandContext, options: CostsOptions): Promise<void> {
  const client = context.client();
  const { since, until, provider, model, tenant, tag } = options;
  const body = await client.ask({
    method: 'GET',
    path: '/admin/costs',
    query: { since, until, provider, model, tenant, tag },
    signal: context.shell.interrupt(),
    timeoutMs: ADMIN_TIMEOUT_MS,
  });
  const costs = parseBody(costsBody, body, client.url);
  const rows = (kind: string, amounts: typeof costs.costByModel): string[][] =>
    Object.entries(amounts)
      .toSorted(([, a], [, b]) => b.usdNanos - a.usdNanos)
      .map(([name, { usdNanos }]) => [kind, name, renderUsd(usdNanos)]);
  const isUnknown = costs.recordCount > 0 && costs.unpricedCount === costs.recordCount;
  const table = renderTable(
    ['', 'NAME', 'COST'],
    [
      ...rows('provider', costs.costByProvider),
      ...rows('model', costs.costByModel),
      ...rows('tenant', costs.costByTenant),
      ['total', '', isUnknown ? '-' : renderUsd(costs.totalCost.usdNanos)],
      ['average per request', '', renderOptional(costs.averageCostPerRequest, ({ usdNanos }) => renderUsd(usdNanos))],
    ],
  );
  const { inputTokens, outputTokens, cachedInputTokens, reasoningTokens } = costs.tokenUsage;
  const tokens = `${inputTokens} tokens in (${cachedInputTokens ?? 0} cached), ${outputTokens} out (${reasoningTokens ?? 0} reasoning)`;
  const unpriced = costs.unpricedCount === 0 ? '' : `, ${costs.unpricedCount} of unknown price not included`;
  await context.show(
    body,
    `${table}\n${costs.recordCount} ${costs.recordCount === 1 ? 'record' : 'records'}${unpriced}; ${tokens}\n`,
  );
}
