/** Tells whoever watches a supervisor. One that throws must not stop a restart: it is told so, and that is all. */
import type { SupervisorObserver } from './child-spec.ts';
import { tellQuietly } from './process.ts';

export class Observers {
  readonly #observer: SupervisorObserver | undefined;

  constructor(observer: SupervisorObserver | undefined) {
    this.#observer = observer;
  }

  tell(notify: (observer: SupervisorObserver) => void): void {
    const observer = this.#observer;
    if (observer === undefined) return;
    tellQuietly(
      () => notify(observer),
      (error) => {
        tellQuietly(() => observer.failed?.(error));
      },
    );
  }
}
