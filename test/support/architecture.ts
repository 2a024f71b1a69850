/**
 * Who may import whom, and why. A row owns the files below its path; the longest path wins. Files of one row import each
 * other freely; everything else needs an entry here, for types as well as for values. Read from top to bottom, each row
 * imports only rows above it.
 */

export interface Row {
  readonly name: string;
  /** A folder (`policy/`) or a file (`compose.ts`), relative to `src/`. */
  readonly path: string;
  /** Names of other rows. */
  readonly rows: readonly string[];
  /** Packages of `dependencies`. */
  readonly packages: readonly string[];
  /** Node's own modules. */
  readonly builtins: readonly string[] | 'any';
  readonly reason: string;
}

export const ROWS: readonly Row[] = [
  {
    name: 'contract',
    path: 'contract/',
    rows: [],
    packages: [],
    builtins: [],
    reason: 'the words that everything else speaks must not depend on any of it',
  },
  {
    name: 'policy',
    path: 'policy/',
    rows: ['contract'],
    packages: [],
    builtins: [],
    reason: 'decisions are pure functions: no I/O, no state, no library whose behaviour a table of cases cannot show',
  },
  {
    name: 'system clock',
    path: 'runtime/system-clock.ts',
    rows: ['contract'],
    packages: [],
    builtins: ['node:crypto'],
    reason: 'time, timers and chance have one source, which programs hand in and tests replace',
  },
  {
    name: 'supervision',
    path: 'supervision/',
    rows: ['contract', 'system clock'],
    packages: ['xstate'],
    builtins: [],
    reason: 'it supervises whatever runs until it exits, and is of use to programs that have nothing to do with models',
  },
  {
    name: 'actors',
    path: 'actors/',
    rows: ['contract', 'policy', 'supervision'],
    packages: ['xstate'],
    builtins: [],
    reason:
      'actors remember and decide; I/O happens in plain functions outside them, so they need neither Node nor an SDK',
  },
  {
    name: 'indexed heap',
    path: 'runtime/indexed-heap.ts',
    rows: [],
    packages: [],
    builtins: [],
    reason:
      'a data structure that knows nothing of what it orders: lanes, the open requests, notices to deliver, and the timers of virtual time',
  },
  {
    name: 'stores',
    path: 'stores/',
    rows: ['contract', 'policy', 'indexed heap'],
    packages: [],
    builtins: [],
    reason: 'a store keeps what it is given and must be replaceable by another one behind the same port',
  },
  {
    name: 'sqlite store',
    path: 'stores/sqlite/',
    rows: ['contract', 'policy', 'stores'],
    packages: [],
    builtins: ['node:fs', 'node:os', 'node:path', 'node:sqlite', 'node:worker_threads'],
    reason: 'one file on one disk, in one thread: nobody else touches the file, and nobody else knows SQL',
  },
  {
    name: 'open storage',
    path: 'open-storage.ts',
    rows: ['contract', 'stores', 'sqlite store'],
    packages: [],
    builtins: ['node:path'],
    reason:
      'which kinds of storage there are is known in one place, so that nothing that stores or runs needs to know it',
  },
  {
    name: 'catalogue',
    path: 'catalogue/',
    rows: ['contract', 'policy'],
    packages: ['@pydantic/genai-prices'],
    builtins: [],
    reason: 'facts about models come from one place, which turns the price list into the exact prices of policy',
  },
  {
    name: 'addresses',
    path: 'network/address.ts',
    rows: [],
    packages: [],
    builtins: ['node:dns', 'node:net'],
    reason:
      'what is private is judged alike where a URL is configured and where a connection is made, or one lets through what the other refuses',
  },
  {
    name: 'network',
    path: 'network/',
    rows: ['addresses'],
    packages: ['undici'],
    builtins: ['node:net'],
    reason: 'every connection out is made in one way, whoever asks for it: guarded, bounded and without redirects',
  },
  {
    name: 'adapters',
    path: 'adapters/',
    rows: ['contract', 'addresses', 'network'],
    packages: [],
    builtins: 'any',
    reason: 'what all adapters share is the transport, and it decides how every byte to a provider travels',
  },
  {
    name: 'openai adapter',
    path: 'adapters/openai/',
    rows: ['contract', 'adapters'],
    packages: ['openai', 'zod'],
    builtins: ['node:crypto'],
    reason: 'one vendor per folder: its SDK is known here and nowhere else, and vendors never borrow from each other',
  },
  {
    name: 'anthropic adapter',
    path: 'adapters/anthropic/',
    rows: ['contract', 'adapters'],
    packages: ['@anthropic-ai/sdk', 'zod'],
    builtins: [],
    reason: 'one vendor per folder: its SDK is known here and nowhere else, and vendors never borrow from each other',
  },
  {
    name: 'mock adapter',
    path: 'adapters/mock/',
    rows: ['contract', 'adapters'],
    packages: ['zod'],
    builtins: ['node:crypto'],
    reason: 'the embedded provider answers without a network and must not need an SDK',
  },
  {
    name: 'waiting',
    path: 'runtime/sleep.ts',
    rows: ['contract'],
    packages: [],
    builtins: [],
    reason: 'waiting takes the clock it is given and nothing else: whoever waits, waits like this',
  },
  {
    name: 'asking a store',
    path: 'runtime/ask-store.ts',
    rows: ['contract', 'waiting'],
    packages: [],
    builtins: [],
    reason: 'a store that hangs is given up alike by whoever asks it',
  },
  {
    name: 'runtime',
    path: 'runtime/',
    rows: ['indexed heap', 'waiting', 'asking a store', 'contract', 'policy', 'actors', 'supervision'],
    packages: ['nanoid', 'p-queue', 'tokenx', 'zod'],
    builtins: ['node:crypto'],
    reason: 'the path of a request works with ports; adapters, stores and facts are handed in and never imported',
  },
  {
    name: 'webhooks',
    path: 'webhooks/',
    rows: ['contract', 'addresses', 'network', 'waiting', 'asking a store'],
    packages: [],
    builtins: ['node:crypto', 'node:util'],
    reason: 'notices are told of what is written in the outbox; they know nothing of how a request is answered',
  },
  {
    name: 'batches',
    path: 'batches/',
    rows: ['contract', 'policy', 'waiting', 'asking a store', 'runtime'],
    packages: ['zod'],
    builtins: ['node:crypto'],
    reason: 'a batch is many requests that take the ordinary path: it hands them over and reads what became of them',
  },
  {
    name: 'telemetry',
    path: 'telemetry/',
    rows: ['contract'],
    packages: ['eventemitter3', 'pino'],
    builtins: [],
    reason:
      'events and logs only tell what happened and are never in the way, so they know the words and nothing that acts',
  },
  {
    name: 'config',
    path: 'config/',
    rows: ['contract', 'catalogue', 'addresses'],
    packages: ['yaml', 'zod'],
    builtins: 'any',
    reason: 'a config is read and judged, by what is known of models, before anything of the service exists',
  },
  {
    name: 'build adapters',
    path: 'build-adapters.ts',
    rows: ['contract', 'openai adapter', 'anthropic adapter', 'mock adapter', 'config'],
    packages: [],
    builtins: [],
    reason: 'starting a service and checking its config must build the same adapters, or a check would prove nothing',
  },
  {
    name: 'provider set',
    path: 'provider-set.ts',
    rows: ['contract', 'actors', 'supervision', 'waiting', 'runtime', 'telemetry', 'build adapters'],
    packages: [],
    builtins: [],
    reason:
      'a provider is an adapter, an actor and a lane at once; who comes and goes is put together where all three are known',
  },
  {
    name: 'compose',
    path: 'compose.ts',
    rows: [
      'contract',
      'policy',
      'system clock',
      'actors',
      'supervision',
      'open storage',
      'catalogue',
      'provider set',
      'runtime',
      'batches',
      'telemetry',
      'webhooks',
      'config',
    ],
    packages: [],
    builtins: 'any',
    reason: 'the composition root is the one place that knows which implementation stands behind which port',
  },
  {
    name: 'index',
    path: 'index.ts',
    rows: ['contract', 'config', 'compose'],
    packages: [],
    builtins: [],
    reason: 'the public API is one list of exports and does nothing itself',
  },
  {
    name: 'http',
    path: 'http/',
    rows: ['contract'],
    packages: ['@fastify/multipart', 'fastify', 'zod'],
    builtins: 'any',
    reason: 'the wire talks to the interface of a service: it can be tested against a scripted one, and be left out',
  },
  {
    name: 'daemon',
    path: 'daemon/',
    rows: ['contract', 'system clock', 'telemetry', 'config', 'compose', 'http'],
    packages: ['fastify', 'pino'],
    builtins: 'any',
    reason:
      'a daemon is a service, a wire and the signals of a process put together; it decides nothing about requests',
  },
  {
    name: 'simulator',
    path: 'simulator/',
    rows: ['contract', 'mock adapter'],
    packages: ['zod'],
    builtins: 'any',
    reason:
      'the misbehaving upstream is an outsider: it invents answers as the mock does, and shares nothing with the adapters that read its wire, or they would agree on mistakes',
  },
  {
    name: 'testing',
    path: 'testing/',
    rows: ['contract', 'indexed heap', 'mock adapter', 'simulator'],
    packages: [],
    builtins: ['node:timers/promises'],
    reason: 'what users test with is made of public pieces; the runtime does not know that it is being tested',
  },
  {
    name: 'cli',
    path: 'cli/',
    rows: ['contract', 'policy', 'system clock', 'config', 'build adapters', 'compose', 'daemon', 'simulator'],
    packages: ['commander', 'undici', 'zod'],
    builtins: 'any',
    reason:
      'the words of the shell start things or talk to a daemon over HTTP; nothing depends on them. The demo states percentiles as the health monitor does',
  },
];

/** Where time, timers and chance may be used without the `Clock` port. */
export const CLOCK_EXCEPTIONS: readonly { readonly path: string; readonly reason: string }[] = [
  { path: 'runtime/system-clock.ts', reason: 'implements the port over the real clock, timers and random source' },
  {
    path: 'stores/sqlite/worker-host.ts',
    reason:
      'a group is what was asked for in one turn of the event loop, whose end only setImmediate tells; it measures no time',
  },
  {
    path: 'stores/sqlite/worker.ts',
    reason: 'measures how long deleting takes, in a thread that no clock can be handed to; no moment is read from it',
  },
  { path: 'testing/virtual-clock.ts', reason: 'lets the real event loop turn between two steps of virtual time' },
  { path: 'cli/', reason: 'a command of the shell is not part of a running service' },
];

/** A file longer than this hides a second one. */
export const LINES_MAX = 400;
/** A file longer than this is worth a look. */
export const LINES_WATCHED = 300;
