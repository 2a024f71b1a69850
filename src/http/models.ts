/**
 * The list of models, in the shape of the API that was spoken. It holds every name a request may give as its model: aliases
 * first, then model ids; `provider/model` works too and can be looked up, but is not listed a second time.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { SwitchgearError } from '../contract/errors.ts';
import type { ModelListing } from '../contract/state.ts';
import type { Edge } from './edge.ts';

interface NamedModel {
  readonly id: string;
  /** What the name stands for, best first. */
  readonly listings: readonly ModelListing[];
  readonly isAlias: boolean;
}

const ALIAS_OWNER = 'switchgear';
const CONTEXT_UNKNOWN = null;

export function registerModelRoutes(app: FastifyInstance, edge: Edge): void {
  // The wires want a creation date; for us that is when this server began to offer the model.
  const sinceMs = edge.clock.wallMs();

  app.get('/v1/models', async (request) => {
    const models = nameModels(edge, await edge.service.listModels());
    if (!isAnthropic(request))
      return { object: 'list', data: models.map((model) => renderOpenaiModel(model, sinceMs)) };
    return {
      data: models.map((model) => renderAnthropicModel(model, sinceMs)),
      first_id: models[0]?.id ?? null,
      last_id: models.at(-1)?.id ?? null,
      has_more: false,
    };
  });

  // Model names may hold slashes.
  app.get<{ Params: { '*': string } }>('/v1/models/*', async (request) => {
    const id = request.params['*'];
    const listings = await edge.service.listModels();
    const model = nameModels(edge, listings).find((candidate) => candidate.id === id) ?? findPinned(listings, id);
    if (model === undefined) {
      throw new SwitchgearError(
        'unknown-model',
        'expected the model to be one of GET /v1/models, got: an unknown name',
        { param: 'model' },
      );
    }
    return isAnthropic(request) ? renderAnthropicModel(model, sinceMs) : renderOpenaiModel(model, sinceMs);
  });
}

/** Anthropic's clients always name the version of its API. */
export function isAnthropic(request: FastifyRequest): boolean {
  return request.headers['anthropic-version'] !== undefined;
}

function nameModels(edge: Edge, listings: readonly ModelListing[]): readonly NamedModel[] {
  const named = new Map<string, NamedModel>();
  for (const [id, candidates] of Object.entries(edge.config.models)) {
    const known = candidates.flatMap(({ provider, model }) =>
      listings.filter((listing) => listing.provider === provider && listing.model === model),
    );
    named.set(id, { id, listings: known, isAlias: true });
  }
  const byModel = Map.groupBy(listings, (listing) => listing.model);
  for (const [id, known] of byModel) {
    if (!named.has(id)) named.set(id, { id, listings: known, isAlias: false });
  }
  return [...named.values()];
}

function findPinned(listings: readonly ModelListing[], id: string): NamedModel | undefined {
  const known = listings.filter((listing) => `${listing.provider}/${listing.model}` === id);
  return known.length === 0 ? undefined : { id, listings: known, isAlias: false };
}

function renderOpenaiModel(model: NamedModel, sinceMs: number): object {
  return {
    id: model.id,
    object: 'model',
    created: Math.floor(sinceMs / 1_000),
    owned_by: model.isAlias ? ALIAS_OWNER : (model.listings[0]?.provider ?? ALIAS_OWNER),
    availability: bestAvailability(model),
    providers: model.listings.map((listing) => listing.provider),
    context_window: model.listings[0]?.contextWindow ?? CONTEXT_UNKNOWN,
  };
}

function renderAnthropicModel(model: NamedModel, sinceMs: number): object {
  return {
    type: 'model',
    id: model.id,
    display_name: model.id,
    created_at: new Date(sinceMs).toISOString(),
    max_input_tokens: model.listings[0]?.contextWindow ?? CONTEXT_UNKNOWN,
    max_tokens: null,
  };
}

function bestAvailability(model: NamedModel): ModelListing['availability'] {
  const states = new Set(model.listings.map((listing) => listing.availability));
  if (states.has('available')) return 'available';
  return states.has('degraded') ? 'degraded' : 'unavailable';
}
