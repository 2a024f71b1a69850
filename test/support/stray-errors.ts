/** Collects what would end a process: rejections and exceptions that nobody awaited. */
export interface StrayErrors extends Disposable {
  readonly errors: readonly unknown[];
  /** Stops listening and throws when there was any. */
  finish(): Promise<void>;
}

/** Listens until it is disposed of. */
export function watchStrayErrors(): StrayErrors {
  const errors: unknown[] = [];
  const note = (error: unknown) => {
    errors.push(error);
  };
  process.on('unhandledRejection', note);
  process.on('uncaughtException', note);
  const stop = () => {
    process.off('unhandledRejection', note);
    process.off('uncaughtException', note);
  };
  return {
    errors,
    finish: async () => {
      // Node tells of a rejection after the microtasks of the turn it happened in.
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      stop();
      if (errors.length > 0) throw new AggregateError(errors, `expected no stray error, got: ${errors.length}`);
    },
    [Symbol.dispose]: stop,
  };
}
