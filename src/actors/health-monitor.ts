/**
 * The health monitor: every `intervalMs` it judges each provider by the traffic since the last look, or, when there was
 * none, by a free check that runs outside the actor. A check that cannot reach the provider counts as one breaker failure,
 * so that an idle provider's outage is known before a caller pays for it; one that passes proves reach and key only.
 */
import { assign, setup } from 'xstate';
import type { Clock } from '../contract/clock.ts';
import type { HealthLabel, ProviderHealth, ProviderState } from '../contract/state.ts';
import {
  appendSegment,
  type HealthJudgement,
  type HealthSegment,
  isThrottled,
  judgeHealth,
  percentile,
  type Throttle,
  uptimePercent,
} from '../policy/health.ts';
import { Actor, type BeforeEvent } from '../supervision/actor.ts';
import type { Announce } from './announce.ts';
import { Mailbag } from './mailbag.ts';
import type { Registry } from '../supervision/registry.ts';

export const HEALTH_MONITOR_ID = 'health-monitor';
const SAMPLES_MAX = 500;
const ERRORS_MAX = 10;
const TICK_MS = 1_000;

/** What an attempt or a check says about a provider. */
export interface Observation {
  readonly provider: string;
  readonly isSuccess: boolean;
  readonly latencyMs: number;
  readonly error?: { readonly code: string; readonly message: string };
}

/** What a free check came to. `inconclusive`: the server has no such route (404, 405) or refused for a reason of its own. */
export interface CheckResult {
  readonly provider: string;
  readonly verdict: 'passed' | 'unreachable' | 'inconclusive';
  readonly message?: string;
  readonly code?: string;
}

interface Patient {
  readonly latencies: readonly number[];
  readonly recentErrors: ProviderHealth['recentErrors'];
  readonly segments: readonly HealthSegment[];
  readonly label: HealthLabel;
  readonly hasTraffic: boolean;
  readonly hasEvidence: boolean;
  readonly isChecking: boolean;
  /** When it was last judged, by traffic or by a check that has ended; epoch ms. */
  readonly lastCheckAt: number | undefined;
  readonly lastCheckPassed: boolean | undefined;
  readonly throttle: Throttle | undefined;
  /** When it is asked next; undefined until the first look, so that a start asks nobody at once. */
  readonly nextLookAtMs: number | undefined;
}

type HealthMemory = Readonly<Record<string, Patient>>;

type HealthEvent =
  | { readonly type: 'attempt.observed'; readonly observation: Observation }
  | { readonly type: 'check.finished'; readonly result: CheckResult };

export type HealthMachine = ReturnType<typeof createHealthMachine>;

export interface HealthMachineDeps {
  readonly memory: HealthMemory;
  readonly clock: Clock;
  readonly announce: Announce;
  readonly providers: () => readonly WatchedProvider[];
  /** Starts a check outside the actor, which is told when it ends. */
  readonly startCheck: (provider: string) => void;
}

export interface WatchedProvider {
  readonly name: string;
  readonly intervalMs: number;
  readonly state: () => ProviderState;
}

const NEWCOMER: Patient = {
  latencies: [],
  recentErrors: [],
  segments: [],
  label: 'unknown',
  hasTraffic: false,
  hasEvidence: false,
  isChecking: false,
  lastCheckAt: undefined,
  lastCheckPassed: undefined,
  throttle: undefined,
  nextLookAtMs: undefined,
};

export function createHealthMachine({ memory, clock, announce, providers, startCheck }: HealthMachineDeps) {
  const change = (patients: HealthMemory, name: string, changes: Partial<Patient>): HealthMemory => ({
    ...patients,
    [name]: { ...(patients[name] ?? NEWCOMER), ...changes },
  });

  const look = (patients: HealthMemory, provider: WatchedProvider): HealthMemory => {
    const nowMs = clock.nowMs();
    const patient = noteGate(patients[provider.name] ?? NEWCOMER, provider, nowMs);
    const { label, reason } = judge(patient, provider, nowMs);
    if (label !== patient.label)
      announce('health.changed', {
        provider: provider.name,
        from: patient.label,
        to: label,
        ...(reason !== undefined && { reason }),
      });
    const segments = appendSegment(patient.segments, label, nowMs);
    const judged = { ...patients, [provider.name]: { ...patient, label, segments } };
    if (patient.nextLookAtMs === undefined)
      return change(judged, provider.name, { nextLookAtMs: nowMs + provider.intervalMs });
    if (nowMs < patient.nextLookAtMs || patient.isChecking) return judged;
    const isIdle = !patient.hasTraffic;
    if (isIdle) startCheck(provider.name);
    return change(judged, provider.name, {
      hasTraffic: false,
      isChecking: isIdle,
      ...(!isIdle && { lastCheckAt: clock.wallMs() }),
      nextLookAtMs: nowMs + provider.intervalMs,
    });
  };

  return setup({
    types: {} as { context: { patients: HealthMemory }; events: HealthEvent },
    actions: {
      observe: assign(({ context, event }) => {
        if (event.type !== 'attempt.observed') return context;
        const { provider, isSuccess, latencyMs, error } = event.observation;
        const watched = providers().find(({ name }) => name === provider);
        const patient = noteGate(context.patients[provider] ?? NEWCOMER, watched, clock.nowMs());
        const recentErrors =
          error === undefined
            ? patient.recentErrors
            : [{ at: clock.wallMs(), ...error }, ...patient.recentErrors].slice(0, ERRORS_MAX);
        const latencies = isSuccess ? [...patient.latencies, latencyMs].slice(-SAMPLES_MAX) : patient.latencies;
        return {
          patients: change(context.patients, provider, {
            recentErrors,
            latencies,
            throttle: patient.throttle && {
              ...patient.throttle,
              hasAnswered: patient.throttle.hasAnswered || isSuccess,
            },
            hasTraffic: true,
            hasEvidence: true,
          }),
        };
      }),
      noteCheck: assign(({ context, event }) => {
        if (event.type !== 'check.finished') return context;
        const { provider, verdict, message = 'the check failed', code = 'provider-error' } = event.result;
        const patient = context.patients[provider] ?? NEWCOMER;
        const at = clock.wallMs();
        const isProof = verdict !== 'inconclusive';
        const recentErrors =
          verdict === 'unreachable'
            ? [{ at, code, message }, ...patient.recentErrors].slice(0, ERRORS_MAX)
            : patient.recentErrors;
        const lastCheckPassed = isProof ? verdict === 'passed' : undefined;
        return {
          patients: change(context.patients, provider, {
            isChecking: false,
            lastCheckAt: at,
            lastCheckPassed,
            recentErrors,
            hasEvidence: patient.hasEvidence || isProof,
          }),
        };
      }),
      lookAround: assign(({ context }) => {
        const watched = providers();
        const kept = watched.flatMap(({ name }) =>
          context.patients[name] === undefined ? [] : [[name, context.patients[name]] as const],
        );
        return { patients: watched.reduce(look, Object.fromEntries(kept)) };
      }),
    },
  }).createMachine({
    id: HEALTH_MONITOR_ID,
    context: { patients: memory },
    initial: 'watching',
    on: { 'attempt.observed': { actions: 'observe' }, 'check.finished': { actions: ['noteCheck', 'lookAround'] } },
    states: {
      watching: { entry: 'lookAround', after: { [TICK_MS]: { target: 'watching', reenter: true } } },
    },
  });
}

/** Remembers a gate that is held: whoever looks later may find it clear. */
function noteGate(patient: Patient, provider: WatchedProvider | undefined, nowMs: number): Patient {
  const state = provider?.state();
  if (state?.gate !== 'held') return patient;
  const holds = state.credentials.flatMap((credential) => credential.heldForMs ?? []);
  // An exhausted key is no throttle.
  if (holds.length === 0) return patient;
  const heldForMs = Math.min(...holds);
  return { ...patient, throttle: { clearMs: nowMs + heldForMs, hasAnswered: false } };
}

function judge(patient: Patient, { state, intervalMs }: WatchedProvider, nowMs: number): HealthJudgement {
  return judgeHealth(state(), { ...patient, isThrottled: isThrottled(patient.throttle, nowMs, intervalMs) });
}

export interface HealthControlDeps {
  readonly clock: Clock;
  readonly registry: Registry;
  readonly announce: Announce;
  readonly beforeEvent: BeforeEvent | undefined;
  readonly providers: () => readonly WatchedProvider[];
  /** Runs one free check; never rejects. */
  readonly check: (provider: string) => Promise<CheckResult>;
}

/** The face of the health monitor. */
export class HealthControl {
  readonly #deps: HealthControlDeps;
  readonly #mailbag: Mailbag<HealthMachine>;
  #memory: HealthMemory = {};

  constructor(deps: HealthControlDeps) {
    this.#deps = deps;
    this.#mailbag = new Mailbag(HEALTH_MONITOR_ID, deps.registry, deps.announce);
  }

  startActor(incarnation: number): Actor<HealthMachine> {
    const { clock, announce, providers, beforeEvent } = this.#deps;
    return new Actor({
      id: HEALTH_MONITOR_ID,
      incarnation,
      machine: createHealthMachine({
        memory: forgetChecks(this.#memory),
        clock,
        announce,
        providers,
        startCheck: (provider) => {
          this.#startCheck(provider);
        },
      }),
      clock,
      beforeEvent,
      onUndelivered: this.#mailbag.keep,
      onSnapshot: (snapshot) => {
        this.#memory = snapshot.context.patients;
      },
    });
  }

  actorStarted(): void {
    this.#mailbag.deliver();
  }

  observe(observation: Observation): void {
    this.#mailbag.tell({ type: 'attempt.observed', observation });
  }

  /** The health of every watched provider, judged now. */
  status(): Readonly<Record<string, ProviderHealth>> {
    return Object.fromEntries(this.#deps.providers().map((provider) => [provider.name, this.#healthOf(provider)]));
  }

  #healthOf(provider: WatchedProvider): ProviderHealth {
    const patient = this.#memory[provider.name] ?? NEWCOMER;
    const state = provider.state();
    const nowMs = this.#deps.clock.nowMs();
    const { label: status, reason } = judge(patient, provider, nowMs);
    const { latencies } = patient;
    const averageMs =
      latencies.length === 0 ? undefined : latencies.reduce((sum, value) => sum + value, 0) / latencies.length;
    return {
      status,
      ...(reason !== undefined && { reason }),
      breaker: state.breaker,
      uptimePercent: uptimePercent(appendSegment(patient.segments, status, nowMs), nowMs),
      latency: { averageMs, p50Ms: percentile(latencies, 0.5), p95Ms: percentile(latencies, 0.95) },
      lastCheckAt: patient.lastCheckAt,
      recentErrors: patient.recentErrors,
    };
  }

  /** Outside the actor and its mailbox: a hung check delays nobody. */
  #startCheck(provider: string): void {
    // `check` never rejects.
    void this.#deps.check(provider).then((result) => {
      this.#mailbag.tell({ type: 'check.finished', result });
    });
  }
}

/** A check that ran when the last incarnation died reports to nobody in time; the next one asks again. */
function forgetChecks(memory: HealthMemory): HealthMemory {
  return Object.fromEntries(Object.entries(memory).map(([name, patient]) => [name, { ...patient, isChecking: false }]));
}
