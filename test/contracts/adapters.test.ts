/** The adapter contract over the adapters that speak a wire, and over one written by a user. */
import { createAnthropicAdapter } from '../../src/adapters/anthropic/anthropic.ts';
import { createOpenaiAdapter } from '../../src/adapters/openai/openai.ts';
import type { CreateAdapter } from '../../src/contract/adapter.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { canaryCredential, createProviderConfig } from '../support/adapter-calls.ts';
import { createEchoAdapter, echoWire } from '../support/echo-adapter.ts';
import { allFailures, allScripts, describeAdapterContract, type OpenSubject } from './adapter-contract.ts';
import {
  createResponder,
  findUnreachableURL,
  openUpstream,
  type UpstreamScript,
  type WireScripts,
} from './upstream.ts';
import { anthropicWire, openaiWire } from './wires.ts';

const openSubject =
  (adapterName: string, createAdapter: CreateAdapter, wire: WireScripts) =>
  async (script: UpstreamScript): Promise<OpenSubject> => {
    const server = await openUpstream(createResponder(script, wire));
    const baseURL = script.kind === 'unreachable' ? await findUnreachableURL() : server.url;
    const adapter = createAdapter(createProviderConfig({ adapter: adapterName, baseURL }), {
      fetch: undefined,
      clock: systemClock,
    });
    return {
      adapter,
      credential: canaryCredential,
      requests: () => server.received.length,
      connections: () => server.connections(),
      [Symbol.asyncDispose]: async () => {
        await Promise.all([adapter.close?.(), server.close()]);
      },
    };
  };

for (const [name, createAdapter, wire] of [
  ['openai', createOpenaiAdapter, openaiWire],
  ['anthropic', createAnthropicAdapter, anthropicWire],
  ['a user’s own', createEchoAdapter, echoWire],
] as const) {
  describeAdapterContract({
    name,
    plays: allScripts,
    failures: allFailures,
    open: openSubject(name, createAdapter, wire),
  });
}
