/**
 * What is supervised and how, as the caller says it, and with every default filled in. Mistakes are found here, before anything
 * starts, and name the field.
 */
import type { Clock } from '../contract/clock.ts';
import { type ExitReason, type Process, SupervisorError } from './process.ts';
import type { RestartBackoff, RestartIntensity } from './restart-intensity.ts';
import type { ShutdownLimit } from './stop-process.ts';

/** Which exits a child is restarted after: all; those that are not orderly; none, and it is forgotten at its end. */
export type RestartType = 'permanent' | 'transient' | 'temporary';

/** Who is stopped and started with a child that is restarted: nobody; all others; those that were started after it. */
export type Strategy = 'one-for-one' | 'one-for-all' | 'rest-for-one';

/** Which ends of significant children end the supervisor, too. */
export type AutoShutdown = 'never' | 'any-significant' | 'all-significant';

export interface StartContext {
  /** From 1; each start of a child has the next number. */
  readonly incarnation: number;
  /** Aborts when the start is given up: after `startTimeoutMs`, or because the supervisor stops. */
  readonly signal: AbortSignal;
}

/** What a start gives: a process that runs, or `ignore` when there is nothing to run now. */
export type Started = Process | 'ignore';

export interface ChildSpec {
  readonly id: string;
  /** A throw or rejection is a failed start. */
  readonly start: (context: StartContext) => Started | Promise<Started>;
  /** Default `permanent`. */
  readonly restart?: RestartType;
  /** Default 5,000 ms, for supervisors `infinity`. */
  readonly shutdown?: ShutdownLimit;
  /** For `countChildren` and the default of `shutdown`. Default `worker`. */
  readonly type?: 'worker' | 'supervisor';
  /** Whether its end counts for the supervisor's `autoShutdown`. Default false. */
  readonly significant?: boolean;
  /** Default 30,000 ms. */
  readonly startTimeoutMs?: number | 'infinity';
}

export interface SupervisorObserver {
  childStarted?(id: string, process: Process, incarnation: number, restarts: number): void;
  childExited?(id: string, process: Process, incarnation: number, reason: ExitReason): void;
  /** A start failed; whether it is tried again depends on who asked for it. */
  startFailed?(id: string, incarnation: number, error: unknown): void;
  gaveUp?(id: string, restarts: number): void;
  /** One of the others threw. */
  failed?(error: unknown): void;
}

/** Per child id: how often it was started and restarted. */
export type ChildHistory = Map<string, { incarnation: number; restarts: number }>;

export interface SupervisorOptions {
  readonly id: string;
  readonly children: readonly ChildSpec[];
  /** Default: the machine's. */
  readonly clock?: Clock;
  /** Default `one-for-one`. */
  readonly strategy?: Strategy;
  /** Default 3 restarts in 5 s. */
  readonly intensity?: RestartIntensity;
  /** Default 20 ms doubling to 5 s, over after 60 s of health; `none` restarts at once, as OTP does. */
  readonly backoff?: RestartBackoff | 'none';
  /** Default `never`. */
  readonly autoShutdown?: AutoShutdown;
  readonly observer?: SupervisorObserver;
  /** Incarnation and restart counts that outlive this supervisor. */
  readonly history?: ChildHistory;
}

const STRATEGIES: readonly Strategy[] = ['one-for-one', 'one-for-all', 'rest-for-one'];
const RESTARTS: readonly RestartType[] = ['permanent', 'transient', 'temporary'];
const AUTO_SHUTDOWNS: readonly AutoShutdown[] = ['never', 'any-significant', 'all-significant'];
const TYPES = ['worker', 'supervisor'] as const;

/** Everything but the children. @throws {SupervisorError} `invalid-spec` naming the field at fault */
export function checkOptions(options: Omit<SupervisorOptions, 'children'>): void {
  const { strategy = 'one-for-one', autoShutdown = 'never' } = options;
  checkName('id', options.id);
  checkOneOf('strategy', strategy, STRATEGIES);
  checkOneOf('autoShutdown', autoShutdown, AUTO_SHUTDOWNS);
  checkRestarts(options);
}

/** @throws {SupervisorError} `invalid-spec` naming the field at fault */
function checkRestarts({ intensity, backoff }: Pick<SupervisorOptions, 'intensity' | 'backoff'>): void {
  if (intensity !== undefined) {
    const { restartsMax, periodMs } = intensity;
    if (!Number.isInteger(restartsMax) || restartsMax < 0)
      throw invalid('intensity.restartsMax', 'a whole number from 0', restartsMax);
    if (!(periodMs > 0)) throw invalid('intensity.periodMs', 'more than 0 ms', periodMs);
  }
  if (backoff === undefined || backoff === 'none') return;
  for (const field of ['baseMs', 'capMs', 'healthyMs'] as const)
    if (!(backoff[field] >= 0)) throw invalid(`backoff.${field}`, 'a number of ms', backoff[field]);
}

/** What a spec says, with an end of its own for the supervisor it is meant for. @throws {SupervisorError} `invalid-spec` naming the field at fault */
export function checkSpec(spec: ChildSpec, autoShutdown: AutoShutdown = 'never'): void {
  checkName('id', spec.id);
  checkChild(spec, `child ${spec.id}: `);
  const { significant = false, restart = 'permanent' } = spec;
  if (typeof significant !== 'boolean') throw invalid(`child ${spec.id}: significant`, 'true or false', significant);
  if (!significant) return;
  if (restart === 'permanent')
    throw invalid(`child ${spec.id}: restart`, 'transient or temporary, as it is significant', restart);
  if (autoShutdown === 'never')
    throw invalid('autoShutdown', `any-significant or all-significant, as child ${spec.id} is significant`, 'never');
}

/** What children and pool templates have in common. @throws {SupervisorError} `invalid-spec` naming the field at fault */
export function checkChild(
  spec: Pick<ChildSpec, 'restart' | 'shutdown' | 'type' | 'startTimeoutMs'> & { readonly start: unknown },
  prefix = '',
): void {
  const { restart = 'permanent', shutdown = 0, type = 'worker', startTimeoutMs = 1 } = spec;
  if (typeof spec.start !== 'function') throw invalid(`${prefix}start`, 'a function', spec.start);
  checkOneOf(`${prefix}restart`, restart, RESTARTS);
  checkOneOf(`${prefix}type`, type, TYPES);
  if (shutdown !== 'brutal-kill' && shutdown !== 'infinity' && !(typeof shutdown === 'number' && shutdown >= 0))
    throw invalid(`${prefix}shutdown`, 'a number of ms, brutal-kill or infinity', shutdown);
  if (startTimeoutMs !== 'infinity' && !(typeof startTimeoutMs === 'number' && startTimeoutMs > 0))
    throw invalid(`${prefix}startTimeoutMs`, 'more than 0 ms, or infinity', startTimeoutMs);
}

function checkName(field: string, value: unknown): void {
  if (typeof value !== 'string' || value === '') throw invalid(field, 'a name', value);
}

function checkOneOf(field: string, value: unknown, known: readonly unknown[]): void {
  if (!known.includes(value)) throw invalid(field, `one of ${known.join(', ')}`, value);
}

function invalid(field: string, wanted: string, value: unknown): SupervisorError {
  const isPlain = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
  const got = value === undefined ? 'nothing' : isPlain ? String(value) : 'something else';
  return new SupervisorError('invalid-spec', `expected ${field} to be ${wanted}, got: ${got}`);
}
