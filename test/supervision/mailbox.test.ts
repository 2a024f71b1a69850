import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Mailbox, type Ticket } from '../../src/supervision/mailbox.ts';

const MAX = 5;

type Step = 'push' | 'shift' | 'drain' | { readonly withdraw: number };

test('a mailbox is a list that is added to at its end, taken from at its beginning, and never longer than its bound', () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom<Step>('push', 'push', 'shift') },
    { weight: 2, arbitrary: fc.record({ withdraw: fc.nat(20) }) },
    { weight: 1, arbitrary: fc.constant<Step>('drain') },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const mailbox = new Mailbox<number>(MAX);
      const tickets: Ticket<number>[] = [];
      let model: number[] = [];
      let next = 0;
      for (const each of steps) {
        if (each === 'push') {
          const ticket = mailbox.push((next += 1));
          expect(ticket === undefined).toBe(model.length === MAX);
          if (ticket !== undefined) {
            tickets.push(ticket);
            model.push(next);
          }
        } else if (each === 'shift') expect(mailbox.shift()).toBe(model.shift());
        else if (each === 'drain') {
          expect(mailbox.drain()).toEqual(model);
          model = [];
        } else {
          const ticket = tickets[each.withdraw % Math.max(1, tickets.length)];
          const event = ticket?.event;
          if (ticket !== undefined) mailbox.withdraw(ticket);
          model = model.filter((item) => item !== event);
        }
        expect(mailbox.size).toBe(model.length);
      }
    }),
  );
});
