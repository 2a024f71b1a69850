/**
 * The provider actor: one XState machine per provider with three parallel regions. `breaker` says whether the provider may
 * be called, `gate` whether a 429 told us to wait, `credentials` whether any key is left. The rules are pure functions in
 * `provider-memory.ts` and `policy/`; this file says only which event in which state applies which of them. Deadlines are
 * absolute moments in the context, so that an actor that starts again waits for what is left of them, not from the start.
 */
import { assign, setup } from 'xstate';
import type { Clock } from '../contract/clock.ts';
import type { ProviderConfig } from '../contract/config.ts';
import { probeLeaseMs, tripReason } from '../policy/breaker.ts';
import { rollWindow } from '../policy/window.ts';
import type { Announce } from './announce.ts';
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

export interface ProviderMachineDeps {
  /** What the last incarnation knew, or a fresh memory. */
  readonly memory: ProviderMemory;
  readonly clock: Clock;
  readonly announce: Announce;
}

export type ProviderMachine = ReturnType<typeof createProviderMachine>;

/** Builds the machine of one provider. */
export function createProviderMachine({ memory: initial, clock, announce }: ProviderMachineDeps) {
  const now = () => clock.nowMs();
  const isProbe = (context: ProviderMemory, permit: Permit) =>
    context.probe?.permitId === permit.id && permit.generation === context.generation;

  return setup({
    types: {} as { context: ProviderMemory; events: ProviderEvent },
    delays: {
      openRemaining: ({ context }) => Math.max(0, context.openUntilMs - now()),
      leaseRemaining: ({ context }) => Math.max(0, (context.probe?.leaseUntilMs ?? now()) - now()),
      gateRemaining: ({ context }) => Math.max(1, memory.gateWaitMs(context, now()) ?? 1),
    },
    guards: {
      wasOpen: ({ context }) => context.breaker === 'open',
      wasHalfOpen: ({ context }) => context.breaker === 'halfOpen',
      wasProbing: ({ context }) => context.probe !== undefined,
      isTripped: ({ context, event }) =>
        isEvidence(event) && tripReason(rollWindow(context.window, now()), context.config.breaker) !== undefined,
      isClosingProbe: ({ context, event }) =>
        event.type === 'attempt.reported' &&
        isProbe(context, event.permit) &&
        event.report.verdict === 'success' &&
        context.halfOpenSuccesses + 1 >= context.config.breaker.halfOpenSuccesses,
      isFailedProbe: ({ context, event }) =>
        event.type === 'attempt.reported' && isProbe(context, event.permit) && event.report.verdict === 'failure',
      isProbeReport: ({ context, event }) => event.type === 'attempt.reported' && isProbe(context, event.permit),
      isHeld: ({ context }) => (memory.gateWaitMs(context, now()) ?? 0) > 0,
      isClear: ({ context }) => (memory.gateWaitMs(context, now()) ?? 0) <= 0,
      hasCredential: ({ context }) => context.credentials.some((credential) => credential.blocked === undefined),
      hasNoCredential: ({ context }) => context.credentials.every((credential) => credential.blocked !== undefined),
    },
    actions: {
      claim: assign(({ context, event }) =>
        event.type === 'permit.claimed' ? memory.addPermit(context, event.permit) : context,
      ),
      claimProbe: assign(({ context, event }) => {
        if (event.type !== 'permit.claimed') return context;
        const leaseUntilMs = now() + probeLeaseMs(event.permit.limitMs);
        return { ...memory.addPermit(context, event.permit), probe: { permitId: event.permit.id, leaseUntilMs } };
      }),
      countReport: assign(({ context, event }) => {
        if (event.type !== 'attempt.reported') return context;
        const counted = memory.countReport(context, event.permit, event.report, {
          nowMs: now(),
          wallMs: clock.wallMs(),
        });
        const adjusted = memory.adjustLimit(counted, event.permit, event.report);
        return memory.removePermit(adjusted, event.permit.id);
      }),
      release: assign(({ context, event }) =>
        event.type === 'attempt.reported' ? memory.removePermit(context, event.permit.id) : context,
      ),
      noteProbe: assign(({ context, event }) => {
        if (event.type !== 'attempt.reported') return context;
        const successes = context.halfOpenSuccesses + (event.report.verdict === 'success' ? 1 : 0);
        return { ...memory.removePermit(context, event.permit.id), probe: undefined, halfOpenSuccesses: successes };
      }),
      noteProbeFailure: assign(({ context, event }) => {
        const message =
          event.type === 'attempt.reported' ? event.report.message : 'the probe did not end within its lease';
        return { ...context, lastFailureAt: clock.wallMs(), lastError: message ?? context.lastError };
      }),
      countOverdue: assign(({ context, event }) =>
        event.type === 'attempt.overdue' ? memory.countOverdue(context, event.permit, now(), clock.wallMs()) : context,
      ),
      countCheck: assign(({ context, event }) =>
        event.type === 'check.failed'
          ? memory.countCheckFailure(context, event.message, now(), clock.wallMs())
          : context,
      ),
      announceTrip: ({ context }) => {
        const reason = tripReason(rollWindow(context.window, now()), context.config.breaker) ?? 'failures';
        announce('breaker.opened', { provider: context.config.name, reason, openMs: openMs(context) });
      },
      announceReopened: ({ context }) => {
        announce('breaker.opened', {
          provider: context.config.name,
          reason: 'the probe failed',
          openMs: openMs(context),
        });
      },
      beginOpen: assign(({ context }) => memory.beginOpen(context, now(), clock.wallMs(), clock.random())),
      beginHalfOpen: assign(({ context }) => memory.beginHalfOpen(context, false)),
      beginForcedHalfOpen: assign(({ context }) => memory.beginHalfOpen(context, true)),
      announceHalfOpened: ({ context }) => {
        announce('breaker.halfOpened', { provider: context.config.name });
      },
      beginClosed: assign(({ context }) => memory.beginClosed(context, now())),
      announceClosed: ({ context }) => {
        announce('breaker.closed', { provider: context.config.name });
      },
      hold: assign(({ context, event }) => {
        if (event.type !== 'attempt.reported' || event.report.effect !== 'hold-gate') return context;
        const holdMs = event.report.holdMs ?? 0;
        announce('gate.held', {
          provider: context.config.name,
          credential: event.permit.credentialId,
          forMs: Math.round(holdMs),
        });
        return memory.holdGate(context, event.permit, now() + holdMs);
      }),
      judge: assign(({ context, event }) => {
        if (event.type !== 'attempt.reported') return context;
        const judged = memory.judgeCredential(context, event.permit, event.report);
        announceBlocked(context, judged, announce);
        return event.report.effect === 'quarantine-model'
          ? memory.quarantineModel(judged, event.report.model, now())
          : judged;
      }),
      resetCredentials: assign(({ context }) => ({
        ...context,
        credentials: context.credentials.map((credential) => ({
          ...credential,
          unauthorizedInRow: 0,
          blocked: undefined,
        })),
      })),
      configure: assign(({ context, event }) =>
        event.type === 'config.changed' ? memory.applyConfig(context, event.config, now()) : context,
      ),
    },
  }).createMachine({
    id: 'provider',
    context: initial,
    type: 'parallel',
    states: {
      breaker: {
        initial: 'restoring',
        on: { 'config.changed': { actions: 'configure' }, 'attempt.reported': { actions: 'release' } },
        states: {
          restoring: {
            always: [
              { guard: 'wasOpen', target: 'open' },
              { guard: 'wasHalfOpen', target: 'halfOpen' },
              { target: 'closed' },
            ],
          },
          closed: {
            always: { guard: 'isTripped', target: 'open', actions: ['beginOpen', 'announceTrip'] },
            on: {
              'permit.claimed': { actions: 'claim' },
              'attempt.reported': { actions: 'countReport' },
              'attempt.overdue': { actions: 'countOverdue' },
              'check.failed': { actions: 'countCheck' },
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
              waiting: { on: { 'permit.claimed': { target: 'probing', actions: 'claimProbe' } } },
              probing: {
                after: {
                  leaseRemaining: {
                    target: '#provider.breaker.open',
                    actions: ['noteProbeFailure', 'beginOpen', 'announceReopened'],
                  },
                },
                on: {
                  'attempt.reported': [
                    {
                      guard: 'isClosingProbe',
                      target: '#provider.breaker.closed',
                      actions: ['noteProbe', 'beginClosed', 'announceClosed'],
                    },
                    {
                      guard: 'isFailedProbe',
                      target: '#provider.breaker.open',
                      actions: ['noteProbeFailure', 'release', 'beginOpen', 'announceReopened'],
                    },
                    { guard: 'isProbeReport', target: 'waiting', actions: 'noteProbe' },
                    { actions: 'release' },
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
          clear: { always: { guard: 'isHeld', target: 'held' }, on: { 'attempt.reported': { actions: 'hold' } } },
          held: {
            always: { guard: 'isClear', target: 'clear' },
            after: { gateRemaining: { target: 'held', reenter: true } },
            on: { 'attempt.reported': { actions: 'hold' } },
          },
        },
      },
      credentials: {
        initial: 'usable',
        on: { 'attempt.reported': { actions: 'judge' }, 'credentials.reset': { actions: 'resetCredentials' } },
        states: {
          usable: { always: { guard: 'hasNoCredential', target: 'unusable' } },
          unusable: { always: { guard: 'hasCredential', target: 'usable' } },
        },
      },
    },
  });

  function openMs(context: ProviderMemory): number {
    return Math.round(Math.max(0, context.openUntilMs - now()));
  }
}

/** Only what became of a call opens a breaker: a claim, or time alone, makes nothing worse. */
function isEvidence(event: ProviderEvent): boolean {
  return event.type === 'attempt.reported' || event.type === 'attempt.overdue' || event.type === 'check.failed';
}

function announceBlocked(before: ProviderMemory, after: ProviderMemory, announce: Announce): void {
  for (const credential of after.credentials) {
    const known = before.credentials.find((candidate) => candidate.id === credential.id);
    if (credential.blocked === undefined || known?.blocked !== undefined) continue;
    announce('credential.disabled', {
      provider: after.config.name,
      credential: credential.id,
      reason: credential.blocked,
    });
  }
}
