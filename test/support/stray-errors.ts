/** Collects what would end a process: rejections and exceptions that nobody awaited. */
export interface StrayErrors extends Disposable {
  readonly errors: readonly unknown[];
}

/** Listens until it is disposed of. */
export function watchStrayErrors(): StrayErrors {
  const errors: unknown[] = [];
  const note = (error: unknown) => {
    errors.push(error);
  };
  process.on('unhandledRejection', note);
  process.on('uncaughtException', note);
  return {
    errors,
    [Symbol.dispose]: () => {
      process.off('unhandledRejection', note);
      process.off('uncaughtException', note);
    },
  };
}
