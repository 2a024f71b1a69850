/** What users' own tests need: time that stands still. The scripted upstream is the adapter `mock`. */
export { VirtualClock } from './virtual-clock.ts';
