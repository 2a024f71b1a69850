/** Lives one seed after another in a thread of its own. */
import { parentPort } from 'node:worker_threads';
import { simulate, type SimulationReport } from './simulation.ts';

/** What a report says without its story, which whoever needs it gets by living the seed again. */
export type SeedSummary = Omit<SimulationReport, 'lastLines'>;

parentPort?.on('message', ({ seed, hours }: { readonly seed: number; readonly hours: number }) => {
  const answer = (summary: SeedSummary) => {
    // oxlint-disable-next-line require-post-message-target-origin -- a thread has no origin
    parentPort?.postMessage(summary);
  };
  void simulate({ seed, hours }).then(
    ({ lastLines: _, ...summary }) => {
      answer(summary);
    },
    (error: unknown) => {
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
      const violations = [{ atMs: 0, rule: 'a simulation ends', message }];
      answer({
        seed,
        hours,
        digest: '',
        steps: 0,
        requests: 0,
        upstreamCalls: 0,
        lives: 0,
        counts: new Map(),
        violations,
      });
    },
  );
});
