/** The question put to the Service actor: every candidate of a request with what is true of it now. */
import type { Catalogue } from '../contract/catalogue.ts';
import type { ParsedRequest } from '../contract/request.ts';
import { type CandidateFacts, rankCandidates, type RankedCandidate, type RequestNeeds } from '../policy/rank.ts';
import type { Candidate } from '../policy/resolve.ts';
import type { RoutePlan, RouteQuestion } from '../policy/route.ts';
import { neededFeatures, wireFieldNames } from './needs.ts';
import type { OpenRequest } from './open-request.ts';
import type { Progress } from './progress.ts';
import type { Runtime } from './runtime.ts';

/** Asks the Service actor where the request goes next. Rejects when the request is stopped meanwhile. */
export function route(runtime: Runtime, open: OpenRequest, progress: Progress): Promise<RoutePlan> {
  return runtime.service.route(() => questionOf(runtime, open, progress), open.signal);
}

/** Every candidate of an open request, judged now. */
export function rankNow(runtime: Runtime, open: OpenRequest, progress: Progress): readonly RankedCandidate[] {
  const { request, mode, candidates } = open.init;
  return rankFor(runtime, { request, mode, candidates }, progress.needs(open));
}

export interface RankTarget {
  readonly request: ParsedRequest;
  readonly mode: 'sync' | 'async' | 'stream';
  readonly candidates: readonly Candidate[];
}

export function rankFor(runtime: Runtime, target: RankTarget, needs: RequestNeeds): readonly RankedCandidate[] {
  const needed = neededFeatures(target.request, target.mode);
  return rankCandidates(
    target.candidates.map((candidate) => factsOf(runtime, candidate, needed)),
    needs,
  );
}

/** Total context window of a candidate, where known. */
export function windowOf(catalogue: Catalogue, candidate: Candidate): number | undefined {
  return catalogue.facts(candidate.provider, candidate.model).contextWindow;
}

function questionOf(runtime: Runtime, open: OpenRequest, progress: Progress): RouteQuestion {
  return {
    model: open.init.request.model,
    ranked: rankNow(runtime, open, progress),
    canWaitForRecovery: open.init.mode === 'async',
    remainingMs: open.remainingMs,
    wireFieldNames: wireFieldNames(open.init.request),
  };
}

function factsOf(runtime: Runtime, candidate: Candidate, needed: ReturnType<typeof neededFeatures>): CandidateFacts {
  const provider = runtime.providers.get(candidate.provider);
  const contextWindow = windowOf(runtime.catalogue(), candidate);
  if (provider === undefined) {
    return {
      candidate,
      admission: describeAbsence(runtime, candidate.provider),
      missingFeatures: [],
      contextWindow,
    };
  }
  const missingFeatures = needed.filter((feature) => !provider.adapter.supports(feature, candidate.model));
  return { candidate, admission: provider.control.admission(candidate.model), missingFeatures, contextWindow };
}

function describeAbsence(runtime: Runtime, provider: string): CandidateFacts['admission'] {
  const inactive = runtime.config().inactiveProviders.find((known) => known.name === provider);
  if (inactive === undefined) return { kind: 'never', reason: 'not configured' };
  return { kind: 'never', reason: `left out: ${inactive.reason}; an operator has to change that`, isLeftOut: true };
}
