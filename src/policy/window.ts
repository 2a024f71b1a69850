/**
 * The breaker's memory of completed calls: twelve buckets of monotonic time plus the run of failures in a row. A gap longer
 * than the whole window clears everything, so that yesterday's failures never open a breaker today.
 */

const BUCKET_COUNT = 12;

interface Bucket {
  readonly successes: number;
  readonly failures: number;
}

export interface CallWindow {
  readonly bucketMs: number;
  /** Number of the newest bucket, counted from monotonic 0. */
  readonly newest: number;
  /** Newest first; always `BUCKET_COUNT` long. */
  readonly buckets: readonly Bucket[];
  readonly failuresInRow: number;
  /** Number of the present run of failures; a success begins the next one, and so does a cleared window. */
  readonly run: number;
}

/** Where one failure was counted. */
export interface CountedFailure {
  readonly bucket: number;
  readonly run: number;
}

const EMPTY: Bucket = { successes: 0, failures: 0 };
const ALL_EMPTY: readonly Bucket[] = Array.from({ length: BUCKET_COUNT }, () => EMPTY);

export function createWindow(windowMs: number, nowMs: number): CallWindow {
  const bucketMs = windowMs / BUCKET_COUNT;
  return { bucketMs, newest: Math.floor(nowMs / bucketMs), buckets: ALL_EMPTY, failuresInRow: 0, run: 1 };
}

/** The window as it stands at `nowMs`. Algorithm: `grow` of sony/gobreaker's rolling window. */
export function rollWindow(window: CallWindow, nowMs: number): CallWindow {
  const newest = Math.floor(nowMs / window.bucketMs);
  const age = newest - window.newest;
  if (age <= 0) return window;
  if (age >= BUCKET_COUNT) return { ...window, newest, buckets: ALL_EMPTY, failuresInRow: 0, run: window.run + 1 };
  const fresh = ALL_EMPTY.slice(0, age);
  return { ...window, newest, buckets: [...fresh, ...window.buckets.slice(0, BUCKET_COUNT - age)] };
}

export function recordSuccess(window: CallWindow, nowMs: number): CallWindow {
  const rolled = rollWindow(window, nowMs);
  return {
    ...changeBucket(rolled, rolled.newest, { successes: 1, failures: 0 }),
    failuresInRow: 0,
    run: rolled.run + 1,
  };
}

export function recordFailure(window: CallWindow, nowMs: number): CallWindow {
  const rolled = rollWindow(window, nowMs);
  return {
    ...changeBucket(rolled, rolled.newest, { successes: 0, failures: 1 }),
    failuresInRow: rolled.failuresInRow + 1,
  };
}

/** Takes back one failure from the bucket and the run it was counted in, as far as the window still holds them. */
export function retractFailure(window: CallWindow, counted: CountedFailure, nowMs: number): CallWindow {
  const rolled = rollWindow(window, nowMs);
  const changed = changeBucket(rolled, counted.bucket, { successes: 0, failures: -1 });
  return counted.run === changed.run ? { ...changed, failuresInRow: Math.max(0, changed.failuresInRow - 1) } : changed;
}

export function countWindow(window: CallWindow): {
  readonly successes: number;
  readonly failures: number;
  readonly completed: number;
} {
  let successes = 0;
  let failures = 0;
  for (const bucket of window.buckets) {
    successes += bucket.successes;
    failures += bucket.failures;
  }
  return { successes, failures, completed: successes + failures };
}

function changeBucket(window: CallWindow, number: number, change: Bucket): CallWindow {
  const index = window.newest - number;
  const bucket = window.buckets[index];
  if (bucket === undefined) return window;
  const changed = {
    successes: bucket.successes + change.successes,
    failures: Math.max(0, bucket.failures + change.failures),
  };
  return { ...window, buckets: window.buckets.with(index, changed) };
}
