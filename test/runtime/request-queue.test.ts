import { expect, test } from 'vitest';
import { queueKey } from '../../src/policy/order.ts';
import { RequestQueue } from '../../src/runtime/request-queue.ts';
import { ProviderRig } from '../support/provider-rig.ts';

test('a claim that throws is told to whoever waits, and the lane goes on with the next one', async () => {
  const rig = new ProviderRig();
  const queue = new RequestQueue(rig.clock);
  queue.addLane(rig.control);
  const take = (requestId: string, sequence: number, claim: () => ReturnType<ProviderRig['claim']>) =>
    queue.take({
      requestId,
      key: queueKey({ priority: 'normal', tenant: 't', enqueuedAtMs: 0, sequence }),
      candidates: [{ provider: rig.control.name, model: 'm', origin: 'pin' }],
      patience: 'brief',
      signal: new AbortController().signal,
      claim,
    });
  const broken = take('req_1', 1, () => {
    throw new Error('cannot be counted');
  });
  const next = take('req_2', 2, () => rig.claim());
  await expect(broken).rejects.toThrow('cannot be counted');
  expect(await next).toMatchObject({ kind: 'slot' });
  expect(queue.status()).toMatchObject([{ waiting: 0, running: 1 }]);
});
