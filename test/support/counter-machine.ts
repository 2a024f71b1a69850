/** A small machine that counts, answers, waits and breaks on demand, for tests of what carries machines. */
import { assign, setup } from 'xstate';

import type { Reply } from '../../src/supervision/actor.ts';

export type CounterEvent =
  | { readonly type: 'counted'; readonly by: number }
  | { readonly type: 'asked'; readonly reply: Reply<number> }
  /** Keeps the reply and never answers by itself. */
  | { readonly type: 'asked.late'; readonly reply: Reply<number> }
  | { readonly type: 'answered.late' }
  | { readonly type: 'broke' }
  | { readonly type: 'finished' };

export interface CounterContext {
  readonly count: number;
  readonly seen: readonly number[];
  readonly late: readonly Reply<number>[];
}

export const TICK_MS = 1_000;

export type CounterMachine = ReturnType<typeof createCounterMachine>;

/** `onTick` is called every second while the machine lives. */
export function createCounterMachine({
  onTick = () => {},
  isBrokenAtStart = false,
}: { onTick?: () => void; isBrokenAtStart?: boolean } = {}) {
  return setup({
    types: {} as { context: CounterContext; events: CounterEvent },
    actions: {
      begin: () => {
        if (isBrokenAtStart) throw new Error('broken at start');
      },
      tick: () => {
        onTick();
      },
      count: assign(({ context, event }) =>
        event.type === 'counted'
          ? { ...context, count: context.count + event.by, seen: [...context.seen, event.by] }
          : context,
      ),
      answer: ({ context, event }) => {
        if (event.type === 'asked') event.reply(context.count);
      },
      keep: assign(({ context, event }) =>
        event.type === 'asked.late' ? { ...context, late: [...context.late, event.reply] } : context,
      ),
      answerLate: ({ context }) => {
        for (const reply of context.late) reply(-1);
      },
      break: () => {
        throw new Error('broke');
      },
    },
  }).createMachine({
    id: 'counter',
    context: { count: 0, seen: [], late: [] },
    entry: 'begin',
    initial: 'counting',
    on: {
      counted: { actions: 'count' },
      asked: { actions: 'answer' },
      'asked.late': { actions: 'keep' },
      'answered.late': { actions: 'answerLate' },
      broke: { actions: 'break' },
      finished: { target: '.over' },
    },
    states: {
      counting: { after: { [TICK_MS]: { target: 'counting', reenter: true, actions: 'tick' } } },
      over: { type: 'final' },
    },
  });
}
