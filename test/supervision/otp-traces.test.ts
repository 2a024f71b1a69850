/**
 * Our supervisors beside the real one: fault scripts were played on OTP (`npm run otp:record`) and what it did was kept; here
 * the same scripts are played on `Supervisor` and `Pool` and must leave the same trace.
 */
import { describe, expect, test } from 'vitest';
import { generateScripts } from '../otp/generate.ts';
import { comparableOutcomes, type Host, hostsOf, loadRecordings, pathBelow } from '../otp/recordings.ts';
import { replay } from '../otp/replay.ts';
import type { Step } from '../otp/script.ts';

const { head, scripts } = loadRecordings();

describe(`what OTP ${head.otp} does`, () => {
  test.each(scripts)('is what we do in $name', async (script) => {
    const { boot, steps } = script;
    const recorded = [{ step: 'boot', ...boot }, ...steps];
    const ours = await replay(script);
    // Beside their steps, so that a difference shows where it arose.
    const trace = (outcomes: Parameters<typeof comparableOutcomes>[1]) =>
      comparableOutcomes(script, outcomes).map((outcome, index) => ({ step: recorded[index]?.step, ...outcome }));
    expect(trace(ours.outcomes)).toEqual(trace(recorded));
    expect(ours.remains).toEqual({ processes: 0, timers: 0 });
  });
});

describe('the recordings', () => {
  test('are of the scripts that their seed draws', () => {
    const drawn = generateScripts(head.seed);
    expect(scripts.map(({ name, root }) => ({ name, root }))).toEqual(drawn.map(({ name, root }) => ({ name, root })));
    for (const [index, { steps }] of scripts.entries()) {
      const possible = drawn[index]?.steps.flat() ?? [];
      for (const { step } of steps) expect(possible).toContainEqual(step);
    }
  });

  test('hold every end of every kind of child under every strategy, and every answer', () => {
    const seen = new Set(
      scripts.flatMap((script) => {
        const hosts = hostsOf(script);
        return script.steps.flatMap(({ step, answer = 'ok', asked = [] }) => [
          ...hosts.flatMap((host) => reached(host, step)),
          answer,
          ...asked,
        ]);
      }),
    );
    for (const strategy of ['one-for-one', 'one-for-all', 'rest-for-one', 'pool'])
      for (const restart of ['permanent', 'transient', 'temporary'])
        for (const reason of ['normal', 'shutdown', 'shutdown:x', 'error', 'killed'])
          expect(seen).toContain(`${strategy} ${restart} ${reason}`);
    for (const answer of ANSWERS) expect(seen).toContain(answer);
  });

  test('end with nobody alive', () => {
    for (const { boot, steps } of scripts) {
      const events = [boot, ...steps].flatMap((outcome) => outcome.events ?? []);
      const count = (kind: string) => events.filter((event) => event.startsWith(kind)).length;
      expect(count('-')).toBe(count('+'));
    }
  });
});

const ANSWERS = [
  'ok',
  'ignored',
  'already-started',
  'already-present',
  'not-found',
  'running',
  'restarting',
  'failed-to-start',
  'noproc',
];

/** What the end of a child that was there from the start is an instance of. */
function reached({ path, plan }: Host, step: Step): readonly string[] {
  if (step.do !== 'exit') return [];
  if (plan.type === 'pool') return path === '.' ? [`pool ${plan.template.restart ?? 'permanent'} ${step.reason}`] : [];
  const child = plan.children.find(({ id }) => pathBelow(path, id) === step.path);
  return child === undefined ? [] : [`${plan.strategy} ${child.restart ?? 'permanent'} ${step.reason}`];
}
