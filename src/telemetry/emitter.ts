/**
 * Events for observers. Listeners run in a later microtask, after the turn that caused the event, and one that throws is
 * caught, counted and reported: no decision depends on an event (R11).
 */
import { EventEmitter } from 'eventemitter3';
import type { EventName, Events, Unsubscribe } from '../contract/events.ts';

export class Emitter {
  readonly #emitter = new EventEmitter();
  /** Listeners that threw, since the start. */
  failedListeners = 0;

  /** Tells listeners soon; never throws. */
  announce<Name extends EventName>(name: Name, payload: Events[Name]): void {
    if (this.#emitter.listenerCount(name) === 0) return;
    queueMicrotask(() => {
      this.#emitter.emit(name, payload);
    });
  }

  on<Name extends EventName>(name: Name, listener: (payload: Events[Name]) => void): Unsubscribe {
    const guarded = (payload: Events[Name]) => {
      this.#run(name, listener, payload);
    };
    this.#emitter.on(name, guarded);
    return () => {
      this.#emitter.off(name, guarded);
    };
  }

  #run<Name extends EventName>(name: Name, listener: (payload: Events[Name]) => unknown, payload: Events[Name]): void {
    try {
      const result = listener(payload);
      if (result instanceof Promise) {
        result.catch((error: unknown) => {
          this.#failed(name, error);
        });
      }
    } catch (error) {
      this.#failed(name, error);
    }
  }

  #failed(name: EventName, error: unknown): void {
    this.failedListeners += 1;
    if (name !== 'listener.failed')
      this.announce('listener.failed', {
        event: name,
        message: error instanceof Error ? error.message : String(error),
      });
  }
}
