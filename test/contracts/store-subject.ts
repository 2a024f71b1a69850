/** What a store's own test file hands in to have the contract of stores run over it. */
import type { LoadResult, RequestRecord, RequestStore } from '../../src/contract/records.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { RESULT_TTL_MS } from '../support/store-file.ts';

export interface StoreSubjectOptions {
  readonly clock: VirtualClock;
  readonly resultTtlMs: number;
}

export interface OpenedStore {
  readonly store: RequestStore;
  close(): Promise<void>;
}

/** Opens an empty store. */
export type OpenStore = (options: StoreSubjectOptions) => Promise<OpenedStore>;

export interface OpenedDurableStore extends OpenedStore {
  /** The process ends without a word, and the next one opens the store. */
  restart(): Promise<RequestStore>;
}

export type OpenDurableStore = (options: StoreSubjectOptions) => Promise<OpenedDurableStore>;

/** Gives a test an opened store and closes it afterwards, whatever came of the test. */
export function subjectOf<Opened extends OpenedStore>(open: (options: StoreSubjectOptions) => Promise<Opened>) {
  return async (use: (opened: Opened, clock: VirtualClock) => Promise<void>): Promise<void> => {
    const clock = new VirtualClock();
    const opened = await open({ clock, resultTtlMs: RESULT_TTL_MS });
    try {
      await use(opened, clock);
    } finally {
      await opened.close();
    }
  };
}

/** The status of a record, or that it is expired or unknown. */
export async function statusOf(store: RequestStore, requestId: string): Promise<string> {
  const loaded = await store.load(requestId);
  return loaded.kind === 'found' ? loaded.record.status : loaded.kind;
}

/** A record that has to be there. */
export async function loadRecord(store: RequestStore, requestId: string): Promise<RequestRecord> {
  const loaded: LoadResult = await store.load(requestId);
  if (loaded.kind === 'found') return loaded.record;
  throw new Error(`expected ${requestId} to be found, got: ${loaded.kind}`);
}
