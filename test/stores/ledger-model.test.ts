import assert from 'node:assert/strict';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { LedgerEntry, LedgerQuery } from '../../src/contract/records.ts';
import type { CostSummary } from '../../src/contract/state.ts';
import { dayMs, startMs } from '../support/ledger-entries.ts';
import { LedgerModel, type ModelQuery } from '../support/ledger-model.ts';
import { LEDGERS, type LedgerSubject, type LedgerSubjectOptions } from '../support/ledger-subjects.ts';
import { propertyRuns } from '../support/properties.ts';

const requestsMax = 30;

/** Mostly the same one, so that many entries fall into one total. */
const names = fc.constantFrom('a', 'a', 'a', 'a', 'b', 'c');
const counts = fc.oneof(fc.nat(1_000), fc.constantFrom(0, Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER));
const costs = fc.option(counts, { nil: undefined });

const attempts = fc.record({
  attempt: fc.integer({ min: 1, max: 4 }),
  ageMs: fc.oneof(fc.constant(0), fc.nat(dayMs)),
  provider: names,
  model: names,
  tenant: names,
  tags: fc.oneof({ weight: 3, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: fc.dictionary(names, names) }),
  outcome: fc.constantFrom<LedgerEntry['outcome']>('answered', 'failed', 'refused', 'abandoned'),
  usage: fc.record(
    {
      inputTokens: counts,
      outputTokens: counts,
      cachedInputTokens: counts,
      cacheWriteTokens: counts,
      reasoningTokens: counts,
    },
    { requiredKeys: [] },
  ),
  costNanos: costs,
});

/** Ranges begin and end at midnight UTC: what was folded is told apart by days. */
const queries: fc.Arbitrary<ModelQuery> = fc.record(
  {
    sinceMs: fc.nat(12).map((day) => startMs + day * dayMs),
    untilMs: fc.integer({ min: 12, max: 30 }).map((day) => startMs + day * dayMs),
    provider: names,
    model: names,
    tenant: names,
    tag: fc.record({ name: names, value: names }, { requiredKeys: ['name'] }),
  },
  { requiredKeys: [] },
);

const steps = fc.array(
  fc.oneof(
    {
      weight: 9,
      arbitrary: fc.record({
        type: fc.constant('record' as const),
        request: fc.nat(requestsMax - 1),
        attempts: fc.array(attempts, { minLength: 1, maxLength: 4 }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ type: fc.constant('repeat' as const), pick: fc.nat(), costNanos: costs }),
    },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.nat(2 * dayMs) }) },
    { weight: 4, arbitrary: fc.record({ type: fc.constant('ask' as const), query: queries }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('split' as const), atMs: fc.nat(20 * dayMs) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('restart' as const) }) },
  ),
  { maxLength: 80, size: 'max' },
);
type Step = typeof steps extends fc.Arbitrary<(infer Each)[]> ? Each : never;

/** Which attempts were folded is known of as many requests as there may be entries, so all of them are. */
const options: fc.Arbitrary<LedgerSubjectOptions> = fc.record({
  retainDays: fc.integer({ min: 1, max: 5 }),
  rememberedMax: fc.integer({ min: requestsMax, max: requestsMax + 20 }),
});

/** The query as callers write it. */
function inWords({ sinceMs, untilMs, tag, ...labels }: ModelQuery): LedgerQuery {
  return {
    ...labels,
    ...(sinceMs !== undefined && { since: sinceMs }),
    ...(untilMs !== undefined && { until: untilMs }),
    ...(tag !== undefined && { tag: tag.value === undefined ? tag.name : `${tag.name}=${tag.value}` }),
  };
}

/** A ledger and the list of what it was told, which have to come to the same. */
class Comparison {
  /** What has happened, for whoever asks whether the search gets that far. */
  readonly reached = new Set<string>();
  readonly #subject: LedgerSubject;
  readonly #model = new LedgerModel();
  /** An attempt that comes after its request was folded counts as a request of its own in the average. */
  #hasLate = false;
  #hasFolded = false;
  #nowMs = startMs;

  constructor(subject: LedgerSubject) {
    this.#subject = subject;
  }

  async apply(step: Step): Promise<void> {
    switch (step.type) {
      case 'record': {
        const requestId = `req_${step.request}`;
        if (await this.#isFolded(requestId)) this.#hasLate = true;
        const entries = step.attempts.map(({ ageMs, ...rest }) => ({
          ...rest,
          at: this.#nowMs - ageMs,
          requestId,
          isEstimate: false,
        }));
        return this.#tell(entries);
      }
      case 'repeat': {
        const known = this.#model.entries[step.pick % Math.max(1, this.#model.entries.length)];
        if (known === undefined) return;
        if (await this.#isFolded(known.requestId)) this.reached.add('repeated after folding');
        return this.#tell([known, { ...known, costNanos: step.costNanos }]);
      }
      case 'wait':
        this.#nowMs += step.ms;
        return;
      case 'ask':
        return this.#compare(step.query);
      case 'restart':
        return this.#subject.restart();
      case 'split': {
        const middle = startMs + step.atMs;
        const [before, after] = [await this.#summary({ until: middle }), await this.#summary({ since: middle })];
        assert.equal(before.recordCount + after.recordCount, this.#model.summary({}).recordCount);
        if (before.recordCount * after.recordCount > 0 && this.#hasFolded) this.reached.add('split after folding');
      }
    }
  }

  async #tell(entries: readonly LedgerEntry[]): Promise<void> {
    for (const entry of entries) this.#model.record(entry);
    await this.#subject.ledger.append(entries);
    const told = new Set(this.#model.entries.map(({ requestId }) => requestId));
    for (const requestId of told) this.#hasFolded ||= await this.#isFolded(requestId);
  }

  async #isFolded(requestId: string): Promise<boolean> {
    const isKnown = this.#model.entries.some((entry) => entry.requestId === requestId);
    return isKnown && (await this.#subject.ledger.entriesFor(requestId)).length === 0;
  }

  async #compare(query: ModelQuery): Promise<void> {
    const actual = await this.#summary(inWords(query));
    assert.deepEqual(this.#comparable(actual), this.#comparable(this.#model.summary(query)));
    if (this.#hasFolded) this.reached.add(this.#hasLate ? 'asked after a late attempt' : 'asked after folding');
  }

  #comparable(summary: CostSummary): Partial<CostSummary> {
    const { averageCostPerRequest, ...rest } = summary;
    return this.#hasLate ? rest : { ...rest, averageCostPerRequest };
  }

  #summary(query: LedgerQuery): Promise<CostSummary> {
    return this.#subject.ledger.summary(query, this.#nowMs);
  }
}

describe.each(LEDGERS)('the %s ledger against a list of entries', (name, open) => {
  const follow = async (ledgerOptions: LedgerSubjectOptions, sequence: readonly Step[]): Promise<Comparison> => {
    await using subject = open(ledgerOptions);
    const comparison = new Comparison(subject);
    for (const step of sequence) await comparison.apply(step);
    return comparison;
  };

  test('comes to the same sums under any filter, whatever was told twice and however much was folded', async () => {
    await fc.assert(
      fc.asyncProperty(options, steps, async (ledgerOptions, sequence) => {
        await follow(ledgerOptions, sequence);
      }),
      propertyRuns(name === 'memory' ? 1_000 : 40),
    );
  });

  test('the search folds, asks, splits and repeats in every order', async () => {
    const times = new Map<string, number>();
    for (const [ledgerOptions, sequence] of fc.sample(fc.tuple(options, steps), { numRuns: 40, seed: 11 })) {
      const { reached } = await follow(ledgerOptions, sequence);
      for (const each of reached) times.set(each, (times.get(each) ?? 0) + 1);
    }
    for (const each of [
      'asked after folding',
      'asked after a late attempt',
      'repeated after folding',
      'split after folding',
    ])
      expect([each, (times.get(each) ?? 0) >= 5]).toEqual([each, true]);
  });
});
