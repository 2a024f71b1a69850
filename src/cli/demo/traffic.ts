/** The demo's callers: a few hundred requests of mixed priority, a third each waited for, streamed, and submitted and polled. */
import type { Priority } from '../../contract/request.ts';
import type { CompletionResponse } from '../../contract/response.ts';
import type { Service } from '../../contract/service.ts';
import type { Tally } from './tally.ts';

const PRIORITIES: readonly Priority[] = ['high', 'normal', 'normal', 'low'];
const POLL_MS = 30_000;

/** Sends request number `index` and tells the tally what became of it. Never rejects. */
export async function sendOne(service: Service, tally: Tally, index: number): Promise<void> {
  const priority = PRIORITIES[index % PRIORITIES.length] ?? 'normal';
  tally.sent += 1;
  try {
    tally.answered(priority, await ask(service, index, priority));
  } catch (error) {
    tally.failed(error);
  }
}

function ask(service: Service, index: number, priority: Priority): Promise<CompletionResponse> {
  const request = {
    model: 'smart',
    messages: [{ role: 'user' as const, content: `Question ${index}: what keeps the lights on?` }],
    maxTokens: 200,
  };
  const options = { priority, timeoutMs: 60_000 };
  switch (index % 3) {
    case 0:
      return service.completion(request, options);
    case 1:
      return service.completionStream(request, { ...options, delivery: 'whole' }).response;
    default:
      return submitAndPoll(service, request, options);
  }
}

async function submitAndPoll(
  service: Service,
  request: Parameters<Service['completionAsync']>[0],
  options: Parameters<Service['completionAsync']>[1],
): Promise<CompletionResponse> {
  const requestId = await service.completionAsync(request, options);
  for (;;) {
    const result = await service.getResult(requestId, { waitMs: POLL_MS });
    if (result.status === 'succeeded') return result.response;
    if (result.status === 'failed' || result.status === 'cancelled') throw result.error;
  }
}
