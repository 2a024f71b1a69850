/** A request store of which every operation goes through somebody else first, who may delay it, fail it or lose its answer. */
import type { RequestStore } from '../../src/contract/records.ts';

/** What can be asked of a store, but for closing it. */
export type StoreOperation = Exclude<keyof RequestStore, 'isDurable' | 'parked' | 'close'>;

/** Each of them: one that is missing here is an error of types. */
const OPERATIONS: Readonly<Record<StoreOperation, true>> = {
  recover: true,
  insert: true,
  load: true,
  listParked: true,
  listOverdue: true,
  claim: true,
  park: true,
  markRunning: true,
  markQueued: true,
  addAttempt: true,
  settle: true,
  settleParked: true,
};

// The keys of the record above are exactly the operations.
export const STORE_OPERATIONS = Object.keys(OPERATIONS) as readonly StoreOperation[];

export type RunOperation = <Value>(
  operation: StoreOperation,
  act: () => Promise<Value>,
  args: readonly unknown[],
) => Promise<Value>;

export function wrapStore(store: RequestStore, run: RunOperation): RequestStore {
  return {
    get isDurable() {
      return store.isDurable;
    },
    get parked() {
      return store.parked;
    },
    recover: () => run('recover', () => store.recover(), []),
    insert: (...args) => run('insert', () => store.insert(...args), args),
    load: (...args) => run('load', () => store.load(...args), args),
    listParked: (...args) => run('listParked', () => store.listParked(...args), args),
    listOverdue: (...args) => run('listOverdue', () => store.listOverdue(...args), args),
    claim: (...args) => run('claim', () => store.claim(...args), args),
    park: (...args) => run('park', () => store.park(...args), args),
    markRunning: (...args) => run('markRunning', () => store.markRunning(...args), args),
    markQueued: (...args) => run('markQueued', () => store.markQueued(...args), args),
    addAttempt: (...args) => run('addAttempt', () => store.addAttempt(...args), args),
    settle: (...args) => run('settle', () => store.settle(...args), args),
    settleParked: (...args) => run('settleParked', () => store.settleParked(...args), args),
    close: () => store.close(),
  };
}
