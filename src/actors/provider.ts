/**
 * The provider actor: one XState machine per provider with three parallel regions. `breaker` says whether the provider may
 * be called, `gate` whether it told us to wait, `credentials` whether any key is left. The rules are pure functions in
 * `provider-memory.ts` and `policy/`; this file says only which event in which state applies which of them. Deadlines are
 * absolute moments in the context, so that an actor that starts again waits for what is left of them, not from the start.
 */
import { assign, setup } from 'xstate';
import type { Clock } from '../contract/clock.ts';
import type { ProviderConfig } from '../contract/config.ts';
import { probeLeaseMs, tripReason } from '../policy/breaker.ts';
import { rollWindow } from '../policy/window.ts';
import type { Announce } from './announce.ts';
import {
  holdCredential,
  isBlockedForGood,
  judgeCredential,
  newlyBlocked,
  nextCredential,
  unblockCredentials,
} from './credentials.ts';
import * as memory from './provider-memory.ts';
import type { Permit, ProviderMemory, Report } from './provider-memory.ts';

export type ProviderEvent =
  | { readonly type: 'permit.claimed'; readonly permit: Permit }
  | { readonly type: 'attempt.reported'; readonly permit: Permit; readonly report: Report }
  | { readonly type: 'attempt.overdue'; readonly permit: Permit }
  | { readonly type: 'check.failed'; readonly message: string }
  | { readonly type: 'probe.forced' }
  | { readonly type: 'credentials.reset' }
  | { readonly type: 'config.changed'; readonly config: ProviderConfig };

type Claimed = Extract<ProviderEvent, { readonly type: 'permit.claimed' }>;
type Reported = Extract<ProviderEvent, { readonly type: 'attempt.reported' }>;

export interface ProviderMachineDeps {
  /** What the last incarnation knew, or a fresh memory. */
  readonly memory: ProviderMemory;
  readonly clock: Clock;
  readonly announce: Announce;
}

const LEASE_OVER = 'the probe did not end within its lease';

export type ProviderMachine = ReturnType<typeof createProviderMachine>;

/** Builds the machine of one provider. */
export function createProviderMachine({ memory: initial, clock, announce }: ProviderMachineDeps) {
  const now = () => clock.nowMs();
  const moment = () => ({ nowMs: clock.nowMs(), wallMs: clock.wallMs() });
  const isProbe = ({ probe }: ProviderMemory, permit: Permit) => probe?.permitId === permit.id;

  return setup({
    types: {} as { context: ProviderMemory; events: ProviderEvent },
    delays: {
      openRemaining: ({ context }) => Math.max(0, context.openUntilMs - now()),
      leaseRemaining: ({ context }) => Math.max(0, (context.probe?.leaseUntilMs ?? now()) - now()),
      gateRemaining: ({ context }) => Math.max(1, keyWaitMs(context)),
    },
    guards: {
      wasOpen: ({ context }) => context.breaker === 'open',
      wasHalfOpen: ({ context }) => context.breaker === 'halfOpen',
      wasProbing: ({ context }) => context.probe !== undefined,
      isTripped: ({ context, event }) =>
        isEvidence(event, context.generation) &&
        tripReason(rollWindow(context.window, now()), context.config.breaker) !== undefined,
      isClosingProbe: ({ context }, { permit, report }: Reported) =>
        isProbe(context, permit) &&
        report.verdict === 'success' &&
        context.halfOpenSuccesses + 1 >= context.config.breaker.halfOpenSuccesses,
      isFailedProbe: ({ context }, { permit, report }: Reported) =>
        isProbe(context, permit) && report.verdict === 'failure',
      isProbeReport: ({ context }, { permit }: Reported) => isProbe(context, permit),
      isHeld: ({ context }) => keyWaitMs(context) > 0,
      isClear: ({ context }) => keyWaitMs(context) <= 0,
      hasCredential: ({ context }) => !context.credentials.every(isBlockedForGood),
      hasNoCredential: ({ context }) => context.credentials.every(isBlockedForGood),
    },
    actions: {
      claim: assign(({ context }, { permit }: Claimed) => memory.addPermit(context, permit)),
      claimProbe: assign(({ context }, { permit }: Claimed) => {
        const leaseUntilMs = now() + probeLeaseMs(permit.limitMs);
        return { ...memory.addPermit(context, permit), probe: { permitId: permit.id, leaseUntilMs } };
      }),
      countReport: assign(({ context }, { permit, report }: Reported) => {
        const counted = memory.countReport(context, permit, report, moment());
        return memory.removePermit(memory.adjustLimit(counted, permit, report), permit.id);
      }),
      release: assign(({ context }, { permit }: Reported) => memory.removePermit(context, permit.id)),
      noteProbe: assign(({ context }, { permit, report }: Reported) => {
        const successes = context.halfOpenSuccesses + (report.verdict === 'success' ? 1 : 0);
        return { ...memory.removePermit(context, permit.id), probe: undefined, halfOpenSuccesses: successes };
      }),
      noteProbeFailure: assign(({ context }, { message }: Pick<Report, 'message'>) => ({
        ...context,
        lastFailureAt: clock.wallMs(),
        lastError: message ?? context.lastError,
      })),
      countOverdue: assign(({ context }, { permit }: { readonly permit: Permit }) =>
        memory.countOverdue(context, permit, now(), clock.wallMs()),
      ),
      countCheck: assign(({ context }, { message }: { readonly message: string }) =>
        memory.countCheckFailure(context, message, now(), clock.wallMs()),
      ),
      trip: assign(({ context }) => {
        const reason = tripReason(rollWindow(context.window, now()), context.config.breaker) ?? 'calls failed';
        return memory.beginOpen(context, moment(), clock.random(), reason);
      }),
      reopen: assign(({ context }, { reason }: { readonly reason: string }) =>
        memory.beginOpen(context, moment(), clock.random(), reason),
      ),
      announceOpened: ({ context }) => {
        const { openedBecause: reason = 'calls failed', openUntilMs } = context;
        const openMs = Math.round(openUntilMs - now());
        announce('breaker.opened', { provider: context.config.name, reason, openMs });
      },
      beginHalfOpen: assign(({ context }) => memory.beginHalfOpen(context, false)),
      beginForcedHalfOpen: assign(({ context }) => memory.beginHalfOpen(context, true)),
      announceHalfOpened: ({ context }) => {
        announce('breaker.halfOpened', { provider: context.config.name });
      },
      beginClosed: assign(({ context }) => memory.beginClosed(context, now())),
      announceClosed: ({ context }) => {
        announce('breaker.closed', { provider: context.config.name });
      },
      hold: assign(({ context }, { permit, report: { holdMs = 0 } }: Reported) => {
        if (holdMs <= 0) return context;
        announce('gate.held', {
          provider: context.config.name,
          credential: permit.credentialId,
          forMs: Math.round(holdMs),
        });
        return { ...context, credentials: holdCredential(context.credentials, permit, now() + holdMs) };
      }),
      judge: assign(({ context }, { permit, report }: Reported) => {
        const credentials = judgeCredential(context.credentials, permit, report, now());
        const judged = { ...context, credentials };
        for (const { id, blocked } of newlyBlocked(context.credentials, credentials, now()))
          announce('credential.disabled', { provider: context.config.name, credential: id, reason: blocked });
        return report.effect === 'quarantine-model' ? memory.quarantineModel(judged, report.model, now()) : judged;
      }),
      resetCredentials: assign(({ context }) => ({
        ...context,
        credentials: unblockCredentials(context.credentials),
      })),
      configure: assign(({ context }, { config }: { readonly config: ProviderConfig }) =>
        memory.applyConfig(context, config, now()),
      ),
    },
  }).createMachine({
    id: 'provider',
    context: initial,
    type: 'parallel',
    states: {
      breaker: {
        initial: 'restoring',
        on: {
          'config.changed': { actions: { type: 'configure', params: eventOf } },
          'attempt.reported': { actions: { type: 'release', params: eventOf } },
        },
        states: {
          restoring: {
            always: [
              { guard: 'wasOpen', target: 'open' },
              { guard: 'wasHalfOpen', target: 'halfOpen' },
              { target: 'closed' },
            ],
          },
          closed: {
            always: { guard: 'isTripped', target: 'open', actions: ['trip', 'announceOpened'] },
            on: {
              'permit.claimed': { actions: { type: 'claim', params: eventOf } },
              'attempt.reported': { actions: { type: 'countReport', params: eventOf } },
              'attempt.overdue': { actions: { type: 'countOverdue', params: eventOf } },
              'check.failed': { actions: { type: 'countCheck', params: eventOf } },
            },
          },
          open: {
            after: { openRemaining: { target: 'halfOpen', actions: ['beginHalfOpen', 'announceHalfOpened'] } },
            on: { 'probe.forced': { target: 'halfOpen', actions: ['beginForcedHalfOpen', 'announceHalfOpened'] } },
          },
          halfOpen: {
            initial: 'restoring',
            states: {
              restoring: { always: [{ guard: 'wasProbing', target: 'probing' }, { target: 'waiting' }] },
              waiting: {
                on: { 'permit.claimed': { target: 'probing', actions: { type: 'claimProbe', params: eventOf } } },
              },
              probing: {
                after: {
                  leaseRemaining: {
                    target: '#provider.breaker.open',
                    actions: [
                      { type: 'noteProbeFailure', params: { message: LEASE_OVER } },
                      { type: 'reopen', params: { reason: LEASE_OVER } },
                      'announceOpened',
                    ],
                  },
                },
                on: {
                  'attempt.reported': [
                    {
                      guard: { type: 'isClosingProbe', params: eventOf },
                      target: '#provider.breaker.closed',
                      actions: [{ type: 'noteProbe', params: eventOf }, 'beginClosed', 'announceClosed'],
                    },
                    {
                      guard: { type: 'isFailedProbe', params: eventOf },
                      target: '#provider.breaker.open',
                      actions: [
                        { type: 'noteProbeFailure', params: ({ event }) => event.report },
                        { type: 'release', params: eventOf },
                        { type: 'reopen', params: { reason: 'the probe failed' } },
                        'announceOpened',
                      ],
                    },
                    {
                      guard: { type: 'isProbeReport', params: eventOf },
                      target: 'waiting',
                      actions: { type: 'noteProbe', params: eventOf },
                    },
                    { actions: { type: 'release', params: eventOf } },
                  ],
                },
              },
            },
          },
        },
      },
      gate: {
        initial: 'clear',
        states: {
          clear: {
            always: { guard: 'isHeld', target: 'held' },
            on: { 'attempt.reported': { actions: { type: 'hold', params: eventOf } } },
          },
          held: {
            always: { guard: 'isClear', target: 'clear' },
            after: { gateRemaining: { target: 'held', reenter: true } },
            on: { 'attempt.reported': { actions: { type: 'hold', params: eventOf } } },
          },
        },
      },
      credentials: {
        initial: 'usable',
        on: {
          'attempt.reported': { actions: { type: 'judge', params: eventOf } },
          'credentials.reset': { actions: 'resetCredentials' },
        },
        states: {
          usable: { always: { guard: 'hasNoCredential', target: 'unusable' } },
          unusable: { always: { guard: 'hasCredential', target: 'usable' } },
        },
      },
    },
  });

  /** 0 when a key can be used now, and when none ever can. */
  function keyWaitMs({ credentials }: ProviderMemory): number {
    return nextCredential(credentials, now())?.waitMs ?? 0;
  }
}

/** Hands an action or a guard the event that it is for. */
function eventOf<Event>({ event }: { readonly event: Event }): Event {
  return event;
}

/**
 * Only what the window counts opens a breaker, and only of this generation (R4): what time has done to the window meanwhile is
 * not held against a refusal or a caller who left.
 */
function isEvidence(event: ProviderEvent, generation: number): boolean {
  switch (event.type) {
    case 'attempt.reported':
      return event.report.verdict !== 'neutral' && event.permit.generation === generation;
    case 'attempt.overdue':
      return event.permit.generation === generation;
    case 'check.failed':
      return true;
    default:
      return false;
  }
}
