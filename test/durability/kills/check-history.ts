/** What must be true of a history, whenever the processes died. Each sentence that comes back is a broken promise. */
import { RECOVERIES_MAX } from '../../../src/policy/recover.ts';
import { type History, OPEN, type Seen, type StoredRow, type Wish } from './history.ts';

export function checkHistory(history: History): readonly string[] {
  return [
    ...checkAccepted(history),
    ...checkKeys(history),
    ...checkEnds(history),
    ...history.wishes.flatMap((wish) => checkCalls(wish, history)),
    ...history.rows.flatMap((row) => checkRecoveries(row, history)),
  ];
}

/** Acknowledged is stored, and what is stored was acknowledged, or its caller never heard what became of it. */
function checkAccepted({ seen, rows }: History): readonly string[] {
  const stored = new Map(rows.map((row) => [row.requestId, row]));
  const accepted = seen.filter((event) => event.kind === 'accepted');
  const acceptedIds = new Set(accepted.map(({ requestId }) => requestId));
  const unanswered = new Set(seen.flatMap((event) => (event.kind === 'unanswered' ? [event.tag] : [])));
  return [
    ...accepted.flatMap(({ requestId, tag }) => {
      const row = stored.get(requestId);
      if (row === undefined) return [`${requestId} (${tag}) was acknowledged and is not stored`];
      return row.tag === tag ? [] : [`${requestId} was acknowledged for ${tag} and is stored as ${row.tag}`];
    }),
    ...rows
      .filter(({ requestId, tag }) => !acceptedIds.has(requestId) && !unanswered.has(tag))
      .map(({ requestId, tag }) => `${requestId} (${tag}) is stored and nobody was told or left in doubt`),
    ...seen.flatMap((event) =>
      event.kind === 'missing' ? [`${event.requestId} was acknowledged and a reader was told ${event.code}`] : [],
    ),
  ];
}

function checkKeys({ wishes, seen, rows }: History): readonly string[] {
  return wishes.flatMap(({ tag, isKeyed }) => {
    const ids = new Set(
      seen.flatMap((event) => (event.kind === 'accepted' && event.tag === tag ? [event.requestId] : [])),
    );
    const count = rows.filter((row) => row.tag === tag).length;
    const problems = ids.size > 1 ? [`${tag} got ${ids.size} ids`] : [];
    return isKeyed && count > 1 ? [...problems, `the key of ${tag} stands for ${count} requests`] : problems;
  });
}

/** One end each, and every reader saw this one. */
function checkEnds({ seen, rows }: History): readonly string[] {
  return rows.flatMap(({ requestId, standing, settlements }) => {
    const ends = new Set(
      seen.flatMap((event) =>
        event.kind === 'read' && event.requestId === requestId && !OPEN.includes(event.standing)
          ? [event.standing]
          : [],
      ),
    );
    if (seen.some((event) => event.kind === 'cancelled' && event.requestId === requestId))
      ends.add('cancelled cancelled');
    const others = [...ends].filter((end) => end !== standing);
    return [
      ...(OPEN.includes(standing) ? [`${requestId} is ${standing} still`] : []),
      ...(settlements === 1 ? [] : [`${requestId} has ${settlements} settlements`]),
      ...others.map((end) => `${requestId} is ${standing} and a caller was told ${end}`),
    ];
  });
}

/** Another call needs another crash; nothing that is not stored is ever sent. */
function checkCalls({ tag, recovery }: Wish, { calls, rows }: History): readonly string[] {
  const own = calls.filter((call) => call.tag === tag);
  const stored = rows.filter((row) => row.tag === tag);
  const callsMax = stored.reduce((sum, row) => sum + (recovery === 'atMostOnce' ? 1 : callsAllowed(row)), 0);
  const again = own.filter((call, index) => own.findIndex(({ life }) => life === call.life) !== index);
  return [
    ...(own.length > callsMax ? [`${tag} was sent ${own.length} times, ${callsMax} are accounted for`] : []),
    // A tag without a key is one request, and one with a key too.
    ...again.map(({ life }) => `${tag} was sent again in life ${life}, in which nobody had died`),
  ];
}

function callsAllowed({ recoveries }: StoredRow): number {
  return Math.min(RECOVERIES_MAX, recoveries + 1);
}

/** Whoever was running when the process died so often has ended for this, and nobody has before. */
function checkRecoveries(row: StoredRow, { wishes, seen }: History): readonly string[] {
  const { requestId, tag, standing, recoveries } = row;
  const wish = wishes.find((one) => one.tag === tag);
  if (wish === undefined) return [`${requestId} is stored for ${tag}, which nobody asked for`];
  const recoveriesMax = wish.recovery === 'atMostOnce' ? 1 : RECOVERIES_MAX;
  const isInterrupted = standing.startsWith('failed interrupted');
  const isCancelled =
    standing.startsWith('cancelled') &&
    seen.some((event) => event.kind === 'cancelling' && event.requestId === requestId);
  if (recoveries > recoveriesMax) return [`${requestId} was recovered ${recoveries} times`];
  if (isInterrupted !== (recoveries === recoveriesMax))
    return [`${requestId} was recovered ${recoveries} times and is ${standing}`];
  if (wish.isPoison && !isInterrupted && !isCancelled) return [`${requestId} is never answered and is ${standing}`];
  return [];
}

/** How long after the start of a life the first request was sent that an earlier one had been running, ms. */
export function recoveryTimes({ calls }: Pick<History, 'calls'>): readonly number[] {
  const lives = new Map<number, number>();
  const known = new Set<string>();
  for (const { tag, life, afterMs } of calls) {
    if (known.has(tag) && !lives.has(life)) lives.set(life, afterMs);
    known.add(tag);
  }
  return [...lives.values()].toSorted((left, right) => left - right);
}

/** How many events there are of each kind, for the report. */
export function countSeen(seen: readonly Seen[]): Readonly<Record<Seen['kind'], number>> {
  const counts = { accepted: 0, refused: 0, unanswered: 0, read: 0, cancelling: 0, cancelled: 0, missing: 0 };
  for (const { kind } of seen) counts[kind] += 1;
  return counts;
}
