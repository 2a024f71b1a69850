/**
 * Actors that tell each other things for ever would keep the event loop from turning: XState handles what is sent while it
 * handles something else before it returns. So messages that come of one another are counted, and when there are too many of
 * them the next one waits for the next turn of the loop. Node has no reductions to count; a handler that never returns is out
 * of reach.
 */

/** Messages that are handled in one go. At some microseconds each they take a few milliseconds. */
const BUDGET = 1_000;

let handling: object | undefined;
let spent = 0;

/** Handles one message of `actor`. Rethrows what `handle` throws. */
export function handleFor(actor: object, handle: () => void): void {
  const outer = handling;
  if (outer === undefined) spent = 0;
  handling = actor;
  spent += 1;
  try {
    handle();
  } finally {
    handling = outer;
  }
}

/** Whether the message being handled has led to so many others that the next one has to wait. */
export function isBudgetSpent(): boolean {
  return handling !== undefined && spent >= BUDGET;
}

/** Whether it is `actor` that is handling a message just now. */
export function isHandling(actor: object): boolean {
  return handling === actor;
}
