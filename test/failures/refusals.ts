/**
 * One refusal met by a whole service through a real SDK and a real socket: the first of two providers answers with it for
 * ever, the second is well. What came of it is put into one line, so that a table can say it.
 */
import { startService } from '../../src/compose.ts';
import type { Events } from '../../src/contract/events.ts';
import type { RequestOptions } from '../../src/contract/request.ts';
import type { Service } from '../../src/contract/service.ts';
import { createResponder, openUpstream, plainAnswer } from '../contracts/upstream.ts';
import { anthropicWire, openaiWire } from '../contracts/wires.ts';

export type WireName = 'openai' | 'anthropic';
export type Mode = 'sync' | 'stream';

export interface Refusal {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON, or text as it is. */
  readonly body: unknown;
}

const WIRES = { openai: openaiWire, anthropic: anthropicWire };

/** Class, who was asked next, and what became of the provider: `rate-limited: the next; gate held 20 s`. */
export async function meet(
  wire: WireName,
  refusal: Refusal,
  mode: Mode,
  options: RequestOptions = {},
): Promise<string> {
  const failing = await openUpstream((_request, response) => {
    const text = typeof refusal.body === 'string' ? refusal.body : JSON.stringify(refusal.body);
    response.writeHead(refusal.status, { 'content-type': 'application/json', ...refusal.headers }).end(text);
  });
  const healthy = await openUpstream(createResponder({ kind: 'answer', answer: plainAnswer }, WIRES[wire]));
  const provider = (baseURL: string) => ({
    adapter: wire,
    apiKey: 'sk-canary-of-refusals',
    baseURL,
    models: ['m'],
    retry: { maxRetries: 0 },
    health: { intervalMs: 86_400_000 },
  });
  const service = await startService({
    providers: { a: provider(failing.url), b: provider(healthy.url) },
    models: { smart: ['a/m', 'b/m'] },
  });
  const failed: Events['attempt.failed'][] = [];
  service.on('attempt.failed', (event) => failed.push(event));
  try {
    await ask(service, mode, options).catch(() => undefined);
    const asked = [failing.received.length, healthy.received.length].join(' and ');
    if (!['1 and 0', '1 and 1'].includes(asked)) return `asked ${asked} times`;
    const went = healthy.received.length === 1 ? 'the next' : 'the end';
    return [`${failed[0]?.kind}: ${went}`, ...describeState(service)].join('; ');
  } finally {
    await service.stop({ graceMs: 0 });
    await Promise.all([failing.close(), healthy.close()]);
  }
}

async function ask(service: Service, mode: Mode, options: RequestOptions): Promise<unknown> {
  const request = { model: 'smart', messages: [{ role: 'user' as const, content: 'hello' }] };
  return mode === 'sync' ? service.completion(request, options) : service.completionStream(request, options).response;
}

/** What became of provider `a`, as far as it differs from one that is well. */
export function describeState(service: Service): readonly string[] {
  const state = service.providerStates()['a'];
  if (state === undefined) throw new Error('expected provider a to be there');
  const [credential] = state.credentials;
  const said: string[] = [];
  if (state.breaker.failureCount > 0) said.push(`breaker +${state.breaker.failureCount}`);
  if (credential?.state === 'held') said.push(`gate held ${Math.ceil((credential.heldForMs ?? 0) / 1000)} s`);
  if (credential?.state === 'exhausted' || credential?.state === 'disabled') said.push(`key ${credential.state}`);
  if (state.quarantinedModels.length > 0) said.push('model left alone');
  if (state.concurrency.limit < 32 && credential?.state !== 'held') said.push('fewer slots');
  return said;
}
