/** Submits to BullMQ over the Redis of this machine. */
import { Queue } from 'bullmq';
import type { Submitter } from '../store/measurement.ts';

/** Results and requests stay, as ours do. */
export async function openQueue(port: number, payload: object): Promise<Submitter> {
  const queue = new Queue('bench', { connection: { host: '127.0.0.1', port } });
  await queue.waitUntilReady();
  return {
    submit: () => queue.add('completion', payload),
    [Symbol.asyncDispose]: () => queue.close(),
  };
}
