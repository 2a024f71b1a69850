/**
 * The cost summary as the admin API gives it. A filter that matches nothing is either a name that has spent nothing yet,
 * which is zero, or one that nobody knows, which is a typing mistake that zeros would hide. Known is what is configured or
 * was ever booked: a provider that left the config stays in the ledger.
 */
import type { SwitchgearError } from '../contract/errors.ts';
import type { LedgerQuery } from '../contract/records.ts';
import type { CostSummary } from '../contract/state.ts';
import { listNames, refuse, refuseNamed } from './check.ts';
import type { Edge } from './edge.ts';
import { readQuery } from './query.ts';

const COST_QUERY = ['since', 'until', 'provider', 'model', 'tenant', 'tag'];
const NAMED = ['provider', 'model', 'tenant'] as const;
type Named = (typeof NAMED)[number];
/** What requests without a tenant are booked under. */
const TENANT_DEFAULT = 'default';

/** Sums up what a query string asks for. @throws {SwitchgearError} `invalid-request` naming the filter at fault */
export async function summarizeCosts(edge: Edge, rawQuery: unknown): Promise<CostSummary> {
  const query = parseCostQuery(readQuery(rawQuery, COST_QUERY));
  const summary = await edge.service.costSummary(query);
  if (summary.recordCount > 0) return summary;
  for (const filter of NAMED) {
    const name = query[filter];
    if (name !== undefined && !(await isKnown(edge, filter, name))) throw await unknownName(edge, filter, name);
  }
  return summary;
}

function parseCostQuery(query: Readonly<Record<string, string | undefined>>): LedgerQuery {
  const { since, until, ...names } = query;
  return {
    ...names,
    ...(since !== undefined && { since: parseTime(since, 'since') }),
    ...(until !== undefined && { until: parseTime(until, 'until') }),
  };
}

function parseTime(value: string, name: string): number {
  const at = /^\d{1,15}$/.test(value) ? Number(value) : Date.parse(value);
  if (!Number.isFinite(at)) throw refuse(name, 'epoch milliseconds or an ISO 8601 time', value);
  return at;
}

async function isKnown(edge: Edge, filter: Named, name: string): Promise<boolean> {
  if ((await configuredNames(edge, filter)).includes(name)) return true;
  const { recordCount } = await edge.service.costSummary({ [filter]: name });
  return recordCount > 0;
}

async function configuredNames({ service, config }: Edge, filter: Named): Promise<readonly string[]> {
  const providers = [...config.providers, ...config.inactiveProviders];
  switch (filter) {
    case 'provider':
      return providers.map(({ name }) => name);
    case 'model': {
      // Providers that list no models have those of the catalogue, which the service knows.
      const listed = (await service.listModels()).map(({ model }) => model);
      return [...new Set([...listed, ...providers.flatMap(({ models }) => models.map(({ id }) => id))])];
    }
    case 'tenant':
      return [TENANT_DEFAULT];
  }
}

async function unknownName(edge: Edge, filter: Named, name: string): Promise<SwitchgearError> {
  const configured = listNames(await configuredNames(edge, filter));
  const hint = filter === 'model' ? describeModelName(edge, name) : '';
  const what = `one that is configured (${configured}) or that something was booked under`;
  return refuseNamed({ param: filter, what, name, hint });
}

/** What is booked is the model id at its provider; requests may call a model otherwise. */
function describeModelName({ config }: Edge, name: string): string {
  const alias = Object.hasOwn(config.models, name) ? config.models[name] : undefined;
  if (alias !== undefined) {
    const candidates = alias.map(({ provider, model }) => `${provider}/${model}`).join(', ');
    return `; costs are booked by model id, and ${name} is an alias${candidates === '' ? '' : ` of ${candidates}`}`;
  }
  const provider = config.providers.find((known) => name.startsWith(`${known.name}/`))?.name;
  if (provider === undefined) return '';
  return `; costs are booked by model id: ask for provider ${provider} and model ${name.slice(provider.length + 1)}`;
}
