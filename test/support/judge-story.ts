/** What callers of a durable service are promised, and whether the callers of a story got it. */
import { expect } from 'vitest';
import { SwitchgearError } from '../../src/contract/errors.ts';
import { RECOVERIES_MAX } from '../../src/policy/recover.ts';
import type { DurableStory, Submission } from './durable-story.ts';
import type { FragileWorld } from './fragile-world.ts';

/** What readers, sync callers and those who cancel may be told when the store failed, or the service stopped under them. */
const EXPECTED: ReadonlySet<string> = new Set(['store-unavailable', 'shutting-down', 'queue-full']);

/** What must be true of a story that is over, `faults` of which were planned. */
export function judgeStory(world: FragileWorld, story: DurableStory, faults: number): void {
  for (const submission of story.acknowledged) judgeEnd(world, submission);
  judgeAnswers(story);
  judgeRefusals(story, faults);
  judgeCalls(world);
  judgeFile(world, story);
}

/** Nothing acknowledged is lost; it ends once, as its caller wanted it. */
function judgeEnd({ crashes, told }: FragileWorld, submission: Submission): void {
  const { prompt, requestId, seen, cancelled, isCancelAsked } = submission;
  const said = (status: string | undefined) => `${prompt} (${requestId}): ${status}`;
  const isInterrupted = crashes >= RECOVERIES_MAX && seen?.status === 'failed' && seen.error.code === 'interrupted';
  const isToSucceed = (cancelled === false || isCancelAsked !== true) && !isInterrupted;
  if (cancelled === true) expect(said(seen?.status)).toBe(said('cancelled'));
  if (isToSucceed) expect(said(seen?.status)).toBe(said('succeeded'));
  expect(['succeeded', 'cancelled', 'failed'].map(said)).toContain(said(seen?.status));
  if (seen?.status === 'succeeded') expect(seen.response.text).toBe(`a: ${prompt}`);
  const ends = told.filter((each) => each.requestId === requestId).map(({ outcome }) => outcome);
  // A process that dies tells nothing, and the next one does not know what it has told.
  if (crashes === 0) expect(said(String(ends))).toBe(said(seen?.status));
  expect(ends.length).toBeLessThanOrEqual(1);
}

/** Whoever was told something was told the truth, and everybody the same. */
function judgeAnswers({ acknowledged, awaited, answers, changes }: DurableStory): void {
  expect(changes).toEqual([]);
  for (const { prompt, text } of answers) expect(text).toBe(`a: ${prompt}`);
  for (const { prompt, status } of awaited)
    expect(`${prompt}: ${status}`).toBe(
      `${prompt}: ${acknowledged.find((each) => each.prompt === prompt)?.seen?.status}`,
    );
  const keyed = acknowledged.filter(({ options }) => options.idempotencyKey !== undefined);
  for (const [key, same] of Map.groupBy(keyed, ({ options }) => options.idempotencyKey))
    expect([key, new Set(same.map(({ requestId }) => requestId)).size]).toEqual([key, 1]);
}

/** A submission is refused for a fault alone; a sync call also for want of room, as it cannot wait in the file. */
function judgeRefusals({ submissions, errors }: DurableStory, faults: number): void {
  const refusals = codesOf(submissions.flatMap(({ refusal }) => refusal ?? []));
  const unexpected = {
    refusals: refusals.filter((code) => faults === 0 || code !== 'store-unavailable'),
    errors: codesOf(errors).filter((code) => faults === 0 || !EXPECTED.has(code)),
  };
  expect(unexpected).toEqual({ refusals: [], errors: [] });
  expect(refusals.length).toBeLessThanOrEqual(faults);
  expect(submissions.length).toBeGreaterThanOrEqual(30);
}

/** Each is sent once, and once more for its failure and for each process that died meanwhile. */
function judgeCalls({ provider, crashes }: FragileWorld): void {
  for (const [requestId, calls] of Map.groupBy(provider.attempts, (call) => call.requestId)) {
    const prompt = calls[0]?.prompt ?? '';
    const allowed = 1 + (prompt.startsWith('flaky') ? 1 : 0) + crashes;
    expect([requestId, prompt, Math.max(allowed, calls.length)]).toEqual([requestId, prompt, allowed]);
  }
}

/** Nothing is claimed, running or parked, and nothing of what has ended lies about. */
function judgeFile({ file }: FragileWorld, { acknowledged }: DurableStory): void {
  const isOpen = `owner <> 0 OR status NOT IN ('succeeded', 'failed', 'cancelled')`;
  expect(file.read(`SELECT id, status, owner FROM requests WHERE ${isOpen}`)).toEqual([]);
  expect(file.read(`SELECT id FROM requests WHERE seq NOT IN (SELECT seq FROM settlements)`)).toEqual([]);
  expect(file.read(`SELECT seq, number FROM attempts WHERE report IS NULL`)).toEqual([]);
  const known = new Set(file.read(`SELECT id FROM requests`).map(({ id }) => id));
  for (const { requestId } of acknowledged) expect(known).toContain(requestId);
}

function codesOf(errors: readonly unknown[]): readonly string[] {
  return errors.map((error) => (error instanceof SwitchgearError ? error.code : String(error)));
}
