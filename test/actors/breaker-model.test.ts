import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { Comparison, steps } from '../support/breaker-comparison.ts';
import { propertyRuns } from '../support/properties.ts';

describe('the breaker against a model of its rules', () => {
  test('agrees after any sequence of claims, reports early and late, overdue calls, checks, time and crashes', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        const comparison = new Comparison();
        for (const step of sequence) await comparison.apply(step);
      }),
      propertyRuns(150),
    );
  });

  test('the search reaches every state, forced probes and leases that run out', async () => {
    const reached = new Map<string, number>();
    const count = (name: string) => reached.set(name, (reached.get(name) ?? 0) + 1);
    for (const sequence of fc.sample(steps, { numRuns: 100, seed: 11 })) {
      const comparison = new Comparison();
      for (const step of sequence) {
        await comparison.apply(step);
        count(comparison.model.state);
        if (comparison.model.openings > 1) count('opened again');
        if (comparison.rig.state.breaker.lastError?.includes('lease') === true) count('lease over');
      }
      for (const { name } of comparison.rig.announced) count(name);
      if (comparison.rig.exits.length > 0) count('crashed');
    }
    for (const name of ['closed', 'open', 'halfOpen', 'opened again', 'breaker.closed', 'crashed', 'lease over']) {
      expect([name, (reached.get(name) ?? 0) >= 5]).toEqual([name, true]);
    }
  });
});
