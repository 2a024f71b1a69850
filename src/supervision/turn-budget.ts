/**
 * Actors that tell each other things for ever would keep the event loop from turning: XState handles what is sent while it
 * handles something else before it returns. So the messages of one turn are counted, and when there are too many of them,
 * what comes of one of them waits for the next turn of the loop. Node has no reductions to count; a handler that never returns
 * is out of reach.
 */

/** Messages that are handled in one go. At some microseconds each they take a few milliseconds. */
const BUDGET = 1_000;

let handling: object | undefined;
let spent = 0;

/** Handles one message of `actor`. Rethrows what `handle` throws. */
export function handleFor(actor: object, handle: () => void): void {
  // Microtasks run when nothing is being handled any more.
  if (spent === 0)
    queueMicrotask(() => {
      spent = 0;
    });
  spent += 1;
  within(actor, handle);
}

/** What `actor` does in here it does itself, also when one of its timers began it. Rethrows what `act` throws. */
export function within<Value>(actor: object, act: () => Value): Value {
  const outer = handling;
  handling = actor;
  try {
    return act();
  } finally {
    handling = outer;
  }
}

/** Whether so much was handled in this turn that what comes of it has to wait. */
export function isBudgetSpent(): boolean {
  return spent >= BUDGET;
}

/** Whether somebody is handling a message just now. */
export function isAnyoneHandling(): boolean {
  return handling !== undefined;
}

/** Whether it is `actor` that is handling a message just now. */
export function isHandling(actor: object): boolean {
  return handling === actor;
}
