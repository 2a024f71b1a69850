/** Seeds lived within the ordinary test run; the script `simulate:seeds` lives as many as one has time for. */
import { expect } from 'vitest';
import { simulate, type SimulationReport } from './simulation.ts';

export const HOURS = 0.25;

/** Lives the seeds from `first` on; fails with the command that replays the first broken promise. */
export async function liveSeeds(first: number, count: number): Promise<readonly SimulationReport[]> {
  const reports: SimulationReport[] = [];
  for (let seed = first; seed < first + count; seed++) {
    const report = await simulate({ seed, hours: HOURS });
    expect(report.violations, replayCommand(seed)).toEqual([]);
    reports.push(report);
  }
  return reports;
}

function replayCommand(seed: number): string {
  return `npm run simulate:seeds -- --seed ${seed} --hours ${HOURS} --trace`;
}
