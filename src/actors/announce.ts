/** How actors and runtime tell observers. */
import type { EventName, Events } from '../contract/events.ts';

/** Tells observers after the current turn; never throws and never calls back into an actor (R11). */
export type Announce = <Name extends EventName>(name: Name, payload: Events[Name]) => void;
