/** How far a batch is, in one line: counts, how fast it goes, how long it will take. */
import { renderDuration } from './render.ts';
import type { BatchBody } from './batch-wire.ts';

/** The rate is that of so long. */
const RATE_WINDOW_MS = 30_000;

export interface Progress {
  readonly total: number;
  readonly ended: number;
  readonly failed: number;
  readonly running: number;
  /** Undefined until something has ended while it was watched. */
  readonly perSecond: number | undefined;
  readonly leftMs: number | undefined;
}

/** Measures how fast a batch goes while it is watched. */
export class RateMeter {
  #samples: readonly { readonly atMs: number; readonly ended: number }[] = [];

  measure(batch: BatchBody, atMs: number): Progress {
    const { total, completed, failed } = batch.request_counts;
    const ended = completed + failed;
    const recent = this.#samples.filter((sample) => atMs - sample.atMs <= RATE_WINDOW_MS);
    this.#samples = [...recent, { atMs, ended }];
    const first = this.#samples[0] ?? { atMs, ended };
    const perSecond = ended > first.ended ? ((ended - first.ended) * 1_000) / (atMs - first.atMs) : undefined;
    const leftMs = perSecond === undefined ? undefined : ((total - ended) / perSecond) * 1_000;
    return { total, ended, failed, running: batch.status_counts?.running ?? 0, perSecond, leftMs };
  }
}

export function renderProgress({ total, ended, failed, running, perSecond, leftMs }: Progress): string {
  const parts = [
    `${count(ended)} of ${count(total)}`,
    ...(failed > 0 ? [`${count(failed)} failed`] : []),
    `${count(running)} running`,
    ...(perSecond === undefined ? [] : [`${perSecond >= 10 ? Math.round(perSecond) : perSecond.toFixed(1)}/s`]),
    ...(leftMs === undefined || ended === total ? [] : [`about ${renderDuration(leftMs)} left`]),
  ];
  return parts.join(', ');
}

/** With thousands separated. */
export function count(value: number): string {
  return value.toLocaleString('en-US');
}
