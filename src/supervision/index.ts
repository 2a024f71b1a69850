/** Supervision by itself, without anything of language models: what `switchgear/supervisor` gives. */
export type { Clock, TimerHandle } from '../contract/clock.ts';
export type { ChildState } from '../contract/state.ts';
export { systemClock } from '../runtime/system-clock.ts';
export { Actor, type ActorOptions, type CrashReport, type Reply } from './actor.ts';
export type {
  AutoShutdown,
  ChildHistory,
  ChildSpec,
  RestartType,
  StartContext,
  Started,
  Strategy,
  SupervisorObserver,
  SupervisorOptions,
} from './child-spec.ts';
export type { ChildCounts } from './child-table.ts';
export { type Down, monitor } from './monitor.ts';
export { Pool, type PoolOptions, type PoolTemplate } from './pool.ts';
export { type ExitReason, type Process, SupervisorError, type SupervisorErrorCode } from './process.ts';
export { Registry } from './registry.ts';
export type { Answer, Request } from './request.ts';
export type { RestartBackoff, RestartIntensity } from './restart-intensity.ts';
export type { ShutdownLimit } from './stop-process.ts';
export { Supervisor } from './supervisor.ts';
