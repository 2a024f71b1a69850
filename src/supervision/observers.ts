/** Tells whoever watches a supervisor. One that throws must not stop a restart: it is told so, and that is all. */
import type { SupervisorObserver } from './child-spec.ts';

export class Observers {
  readonly #observer: SupervisorObserver | undefined;

  constructor(observer: SupervisorObserver | undefined) {
    this.#observer = observer;
  }

  tell(notify: (observer: SupervisorObserver) => void): void {
    const observer = this.#observer;
    if (observer === undefined) return;
    try {
      notify(observer);
    } catch (error) {
      try {
        observer.failed?.(error);
      } catch {
        // Nobody is left to tell.
      }
    }
  }
}
