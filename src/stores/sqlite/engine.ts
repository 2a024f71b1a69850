/**
 * The one who touches the file: runs groups of operations, each group in one transaction, so that one sync to the disk pays
 * for all of them. It is synchronous and knows no threads; a host decides where it runs. An operation that fails fails alone:
 * its group is rolled back and run again one by one.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { SwitchgearError } from '../../contract/errors.ts';
import { explain, isConnectionLost } from './explain.ts';
import { FileIdentity } from './file-identity.ts';
import { closeDatabase, openDatabase, type OpenOptions } from './open-database.ts';
import { createOperations, type OperationName, type Operations } from './operations.ts';
import { ParkedCounts } from './parked-counts.ts';

export interface EngineOptions extends OpenOptions {
  /** How long a result stays readable, ms; its id is told as expired for as long again. */
  readonly resultTtlMs: number;
  /** Whether settlements of submitted requests are noted for delivery. */
  readonly hasWebhooks: boolean;
}

/** One call of an operation, as it travels to the engine. */
export interface Operation {
  readonly name: OperationName;
  readonly args: readonly unknown[];
  /** The caller's steady wall clock, epoch ms: the engine has no clock. */
  readonly nowMs: number;
}

export type OperationResult =
  | { readonly kind: 'done'; readonly value: unknown }
  | { readonly kind: 'failed'; readonly message: string };

export interface GroupResult {
  /** One for each operation, in order. */
  readonly results: readonly OperationResult[];
  readonly parked: number;
}

/** Says how long something took; it stands for no moment. One that stands still takes everything for instantaneous. */
export type Stopwatch = () => number;

/** What operations work with. */
export interface EngineContext {
  readonly options: EngineOptions;
  readonly epoch: number;
  readonly parked: ParkedCounts;
  /** The moment of the operation that runs. */
  readonly nowMs: () => number;
  readonly stopwatchMs: Stopwatch;
  /** A prepared statement, kept for the next time. SQL is constant: values come as parameters. */
  readonly prepare: (sql: string) => StatementSync;
  readonly run: (sql: string, ...values: SQLInputValue[]) => number;
}

interface Connection {
  readonly database: DatabaseSync;
  readonly context: EngineContext;
  readonly operations: Operations;
}

export class Engine {
  readonly #options: EngineOptions;
  readonly #stopwatchMs: Stopwatch;
  #connection: Connection | undefined;
  /** The file as it was opened last; once it is gone, nothing is written before it is back. */
  #identity: FileIdentity | undefined;
  #isGone = false;
  #epoch: number | undefined;
  #parked = 0;
  /** The moment of the operation that runs. */
  #nowMs = 0;

  /** @throws {SwitchgearError} `store-unavailable` that says what to do */
  constructor(options: EngineOptions, stopwatchMs: Stopwatch) {
    this.#options = options;
    this.#stopwatchMs = stopwatchMs;
    this.#epoch = options.epoch;
    this.#connection = this.#open();
  }

  /** Under which epoch the file is held. */
  get epoch(): number {
    return this.#epoch ?? 0;
  }

  /** Runs a group in one transaction; what it says is on disk. Never throws. */
  run(group: readonly Operation[]): GroupResult {
    const results = this.#runTogether(group) ?? this.#runOneByOne(group);
    // A connection that was lost has not changed what waits in the file.
    this.#parked = this.#connection?.context.parked.total ?? this.#parked;
    return { results, parked: this.#parked };
  }

  close(): void {
    if (this.#connection !== undefined) closeDatabase(this.#connection.database, this.#options.path);
    this.#connection = undefined;
  }

  /** Undefined when any of them fails: then none has happened. */
  #runTogether(group: readonly Operation[]): readonly OperationResult[] | undefined {
    try {
      return this.#transact(this.#connect(), group);
    } catch (error) {
      if (group.length > 1) return undefined;
      return group.map(() => this.#failed(error));
    }
  }

  /** A file that cannot be opened is tried once for all that are left: opening it may take long. */
  #runOneByOne(group: readonly Operation[]): readonly OperationResult[] {
    let unopened: OperationResult | undefined;
    return group.map((operation) => {
      if (unopened !== undefined) return unopened;
      try {
        return this.#transact(this.#connect(), [operation])[0] ?? this.#failed('nothing was done');
      } catch (error) {
        const failed = this.#failed(error);
        if (this.#connection === undefined || this.#isGone) unopened = failed;
        return failed;
      }
    });
  }

  /** The file, opened again when its connection was lost. */
  #connect(): Connection {
    if (this.#connection !== undefined) {
      if (this.#isGone) this.#checkIdentity();
      return this.#connection;
    }
    // Else another file would be opened, or a new one made.
    this.#identity?.checkFile();
    this.#connection = this.#open();
    this.#isGone = false;
    return this.#connection;
  }

  #transact(connection: Connection, group: readonly Operation[]): readonly OperationResult[] {
    const { database, context, operations } = connection;
    try {
      database.exec('BEGIN IMMEDIATE');
      this.#checkEpoch(context);
      const results = group.map(({ name, args, nowMs }): OperationResult => {
        this.#nowMs = nowMs;
        // The client pairs names with arguments.
        const operation = operations[name] as (...values: readonly unknown[]) => unknown;
        return { kind: 'done', value: operation(...args) };
      });
      database.exec('COMMIT');
      context.parked.commit();
      // What was committed into a file that nobody will find is on no disk.
      this.#checkIdentity();
      return results;
    } catch (error) {
      context.parked.rollback();
      this.#rollBack(connection, error);
      throw error;
    }
  }

  #checkIdentity(): void {
    this.#isGone = true;
    this.#identity?.check();
    this.#isGone = false;
  }

  /** After a failed sync nobody knows what is on disk: the file is opened again, which reads the wal anew. */
  #rollBack({ database }: Connection, error: unknown): void {
    try {
      if (database.isTransaction) database.exec('ROLLBACK');
      if (!isConnectionLost(error)) return;
      database.close();
    } catch {
      // The connection is given up either way.
    }
    this.#connection = undefined;
  }

  /** The lock of the operating system keeps others out; where it does not, two owners must not both write. */
  #checkEpoch({ prepare, epoch }: EngineContext): void {
    if (prepare('SELECT epoch FROM boot').get()?.['epoch'] === epoch) return;
    throw new SwitchgearError(
      'store-unavailable',
      `the store ${this.#options.path} was taken over by another process; start this one again`,
    );
  }

  #open(): Connection {
    const { database, epoch } = openDatabase({ ...this.#options, epoch: this.#epoch });
    this.#epoch = epoch;
    try {
      this.#identity = new FileIdentity(this.#options.path);
      return this.#describe(database, epoch);
    } catch (error) {
      database.close();
      throw error;
    }
  }

  #describe(database: DatabaseSync, epoch: number): Connection {
    const statements = new Map<string, StatementSync>();
    const prepare = (sql: string): StatementSync => {
      const known = statements.get(sql) ?? database.prepare(sql);
      statements.set(sql, known);
      return known;
    };
    const context: EngineContext = {
      options: this.#options,
      epoch,
      parked: new ParkedCounts(database),
      nowMs: () => this.#nowMs,
      stopwatchMs: this.#stopwatchMs,
      prepare,
      run: (sql, ...values) => Number(prepare(sql).run(...values).changes),
    };
    return { database, context, operations: createOperations(context) };
  }

  #failed(error: unknown): OperationResult {
    return { kind: 'failed', message: explain(error, this.#options.path).message };
  }
}
