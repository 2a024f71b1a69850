/**
 * Which candidate to ask now. Candidates come in the order the caller's name gave them; each is judged by what its provider
 * admits at this moment and by what the request needs. The judgement also says why, which is what `explain` shows.
 */
import type { Feature } from '../contract/adapter.ts';
import type { Candidate } from './resolve.ts';

/** What a provider says of itself at this moment; a synchronous read. */
export type Admission =
  /** `isRamping`: its limit is below the configured one and every slot is taken, so that others should help out. */
  | {
      readonly kind: 'ready';
      readonly isRamping: boolean;
      /** The breaker is half-open: whoever comes next is its probe. */
      readonly isForProbe?: boolean;
    }
  /** It will admit again: a breaker to re-open, a gate to clear, an actor to restart. */
  | {
      readonly kind: 'wait';
      readonly reason: WaitReason;
      readonly retryAfterMs: number;
      readonly canForceProbe: boolean;
      /** What opened the breaker, in words for operators. */
      readonly background?: string;
    }
  /** Nothing but an operator or a long time brings it back. `isLeftOut`: the config does not have it active. */
  | { readonly kind: 'never'; readonly reason: string; readonly isLeftOut?: true };

export type WaitReason = 'open' | 'probing' | 'held' | 'exhausted' | 'restarting' | 'suspended';

/** What is known of a candidate for this request. */
export interface CandidateFacts {
  readonly candidate: Candidate;
  readonly admission: Admission;
  /** Features the request needs and the adapter lacks. */
  readonly missingFeatures: readonly Feature[];
  /** Total context window, where known. */
  readonly contextWindow: number | undefined;
}

/** What a request has learned on its way. */
export interface RequestNeeds {
  readonly inputTokens: number;
  /** `provider/model` of candidates that are spent for this request. */
  readonly spent: ReadonlySet<string>;
  /** Set after a context-too-long: the candidate that refused, and its window where known. */
  readonly tooLong: { readonly index: number; readonly window: number | undefined } | undefined;
}

export interface RankedCandidate {
  readonly candidate: Candidate;
  readonly state: 'ready' | 'wait' | 'never';
  readonly reasons: readonly string[];
  /** What stands behind the reasons. For operators only: it may quote what another request was told. */
  readonly background: readonly string[];
  readonly admission: Admission;
  readonly missingFeatures: readonly Feature[];
}

export function candidateKey(candidate: { readonly provider: string; readonly model: string }): string {
  return `${candidate.provider}/${candidate.model}`;
}

/** Judges every candidate, in order. */
export function rankCandidates(facts: readonly CandidateFacts[], needs: RequestNeeds): readonly RankedCandidate[] {
  return facts.map((fact, index) => judge(fact, index, needs));
}

function judge(fact: CandidateFacts, index: number, needs: RequestNeeds): RankedCandidate {
  const blockers = permanentBlockers(fact, index, needs);
  const { candidate, admission, missingFeatures } = fact;
  const common = { candidate, admission, missingFeatures, background: [] };
  if (blockers.length > 0) return { ...common, state: 'never', reasons: blockers };
  switch (admission.kind) {
    case 'ready':
      return { ...common, state: 'ready', reasons: [`${candidate.origin} candidate, ${describeReady(admission)}`] };
    case 'wait': {
      const { background } = admission;
      const reasons = [describeWait(admission)];
      return { ...common, state: 'wait', reasons, background: background === undefined ? [] : [background] };
    }
    case 'never':
      return { ...common, state: 'never', reasons: [admission.reason] };
  }
}

function describeReady({ isRamping, isForProbe = false }: Extract<Admission, { kind: 'ready' }>): string {
  if (isForProbe) return 'breaker is half-open and this would be its probe';
  return isRamping ? 'breaker admits, but its slots are taken while it ramps up' : 'breaker admits';
}

function permanentBlockers(fact: CandidateFacts, index: number, needs: RequestNeeds): string[] {
  const blockers: string[] = [];
  if (needs.spent.has(candidateKey(fact.candidate))) blockers.push('already tried for this request');
  for (const feature of fact.missingFeatures) blockers.push(`cannot serve ${feature}`);
  if (fact.contextWindow !== undefined && needs.inputTokens > fact.contextWindow) {
    blockers.push(
      `context window of ${fact.contextWindow} tokens is smaller than the input (about ${needs.inputTokens})`,
    );
  }
  if (needs.tooLong !== undefined && !mayHoldMore(fact, index, needs.tooLong)) {
    blockers.push('its context window is not known to be larger than the one that was too small');
  }
  return blockers;
}

/** A larger known window, or a later place in the list while one of the two windows is unknown. */
function mayHoldMore(fact: CandidateFacts, index: number, tooLong: NonNullable<RequestNeeds['tooLong']>): boolean {
  if (fact.contextWindow !== undefined && tooLong.window !== undefined) return fact.contextWindow > tooLong.window;
  return index > tooLong.index;
}

function describeWait(admission: Extract<Admission, { kind: 'wait' }>): string {
  const inSeconds = `${Math.ceil(admission.retryAfterMs / 1000)} s`;
  switch (admission.reason) {
    case 'open':
      return `breaker is open, next probe in ${inSeconds}`;
    case 'probing':
      return 'breaker is half-open and its one probe is under way';
    case 'held':
      return `rate limited by the provider for another ${inSeconds}`;
    case 'exhausted':
      return `its quota is used up; the provider takes it again in ${inSeconds}`;
    case 'restarting':
      return 'its actor is restarting';
    case 'suspended':
      return 'its actor is suspended by an operator';
  }
}

/** How long to wait for the gate of `candidate`: not beyond the moment at which another one admits. */
export function shortestWaitMs(ranked: readonly RankedCandidate[], candidate: Candidate, waitMs: number): number {
  const waiting = ranked.filter(({ state }) => state === 'wait');
  // A backoff is no gate: whoever is ready meanwhile was passed over on purpose.
  if (!waiting.some((other) => candidateKey(other.candidate) === candidateKey(candidate))) return waitMs;
  return Math.min(
    waitMs,
    ...waiting.map(({ admission }) => (admission.kind === 'wait' ? admission.retryAfterMs : waitMs)),
  );
}
