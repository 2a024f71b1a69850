/** What the observers of one process hear, and who in the world is told of it. */
import type { EventName } from '../../src/contract/events.ts';
import type { Service } from '../../src/contract/service.ts';
import { EVENT_NAMES } from '../../src/runtime/parse-arguments.ts';
import type { Life } from './life.ts';
import type { World } from './world.ts';

/** Listens to everything that a process says while it lives. */
export function observe({ story, chronicle, breakers, plan }: World, life: Life, service: Service): void {
  const on: Service['on'] = (name, listener) =>
    service.on(name, (payload) => {
      if (!life.isDead) listener(payload);
    });
  // The keys of the record are exactly the event names.
  for (const name of Object.keys(EVENT_NAMES) as EventName[]) {
    on(name, (payload) => {
      chronicle.count(`event: ${name}`);
      chronicle.note(`${name} ${JSON.stringify({ ...payload, attempts: undefined })}`);
      if (plan.disturbances.listenersThrow && name !== 'listener.failed') throw new Error('a listener throws');
    });
  }
  on('request.admitted', (payload) => {
    story.admitted(payload);
  });
  on('attempt.started', (payload) => {
    story.attemptStarted(payload);
  });
  on('attempt.failed', (payload) => {
    story.attemptFailed(payload);
    chronicle.count(`failure: ${payload.kind}`);
  });
  on('request.parked', ({ reason }) => {
    chronicle.count(`parked: ${reason}`);
  });
  on('request.settled', (payload) => {
    story.settled(payload);
  });
  on('breaker.opened', ({ provider, openMs }) => breakers.get(provider)?.opened(openMs));
  on('breaker.halfOpened', ({ provider }) => breakers.get(provider)?.halfOpened());
  on('breaker.closed', ({ provider }) => breakers.get(provider)?.closed());
  on('actor.restarted', ({ actor }) => breakers.get(actor)?.restarted());
  on('actor.crashed', ({ actor, message }) => {
    chronicle.expect(message.includes('injected'), 'no actor crashes by itself', () => `${actor}: ${message}`);
  });
  on('service.failed', ({ reason }) => {
    chronicle.expect(false, 'the root never gives up on what it can bear', () => reason);
  });
}
