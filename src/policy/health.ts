/** How a provider is judged, and what share of the last day it was up. */
import type { HealthLabel, ProviderState } from '../contract/state.ts';

const DEGRADED_FAILURE_RATE = 0.1;
const DAY_MS = 86_400_000;
const SEGMENTS_MAX = 2_000;

/** What was learned of a provider besides its state. */
export interface HealthEvidence {
  /** Whether any traffic or conclusive check was ever seen. */
  readonly hasEvidence: boolean;
  /** Whether the last free check passed; undefined when there was none, or it proved nothing. */
  readonly lastCheckPassed: boolean | undefined;
}

export function judgeHealth(state: ProviderState, evidence: HealthEvidence): HealthLabel {
  const hasCredential = state.credentials.some(
    (credential) => credential.state === 'usable' || credential.state === 'held',
  );
  if (state.isDown || state.isSuspended || state.breaker.state === 'open' || !hasCredential) return 'unhealthy';
  if (state.breaker.state === 'halfOpen' || state.gate === 'held') return 'degraded';
  const { failureCount, successCount } = state.breaker;
  const completed = failureCount + successCount;
  if (completed > 0) return failureCount / completed >= DEGRADED_FAILURE_RATE ? 'degraded' : 'healthy';
  if (evidence.lastCheckPassed === false) return 'degraded';
  return evidence.hasEvidence ? 'healthy' : 'unknown';
}

/** A stretch of time with one label; the last one lasts until now. Monotonic ms. */
export interface HealthSegment {
  readonly fromMs: number;
  readonly label: HealthLabel;
}

/** Adds a label from `nowMs` on and forgets what is older than a day. */
export function appendSegment(
  segments: readonly HealthSegment[],
  label: HealthLabel,
  nowMs: number,
): readonly HealthSegment[] {
  if (segments.at(-1)?.label === label) return segments;
  const kept = [...segments, { fromMs: nowMs, label }];
  const firstLive = kept.findLastIndex((segment) => segment.fromMs <= nowMs - DAY_MS);
  return kept.slice(Math.max(0, firstLive, kept.length - SEGMENTS_MAX));
}

/** Percent of the known time of the last 24 h in which the provider was not unhealthy; undefined when nothing is known. */
export function uptimePercent(segments: readonly HealthSegment[], nowMs: number): number | undefined {
  let upMs = 0;
  let knownMs = 0;
  for (const [index, segment] of segments.entries()) {
    const fromMs = Math.max(segment.fromMs, nowMs - DAY_MS);
    const untilMs = segments[index + 1]?.fromMs ?? nowMs;
    const lengthMs = Math.max(0, untilMs - fromMs);
    if (segment.label === 'unknown') continue;
    knownMs += lengthMs;
    if (segment.label !== 'unhealthy') upMs += lengthMs;
  }
  if (knownMs > 0) return (upMs / knownMs) * 100;
  const label = segments.at(-1)?.label;
  if (label === undefined || label === 'unknown') return undefined;
  return label === 'unhealthy' ? 0 : 100;
}

/** The value below which a share `rank` (0 to 1) of the samples lies; nearest rank. */
export function percentile(samples: readonly number[], rank: number): number | undefined {
  const sorted = samples.toSorted((left, right) => left - right);
  return sorted[Math.max(0, Math.ceil(rank * sorted.length) - 1)];
}
