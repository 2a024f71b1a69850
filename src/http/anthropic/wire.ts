/** The Anthropic API as a wire of the edge. */
import type { ResolvedConfig } from '../../contract/config.ts';
import type { Wire } from '../wire.ts';
import { parseMessageRequest } from './parse.ts';
import { renderAnthropicFailure, renderMessage } from './render.ts';
import { AnthropicStreamRenderer } from './stream.ts';

/** Reasoning that names no provider (a conversation begun elsewhere) is taken for the first Anthropic provider's. */
export function createAnthropicWire(readConfig: () => ResolvedConfig): Wire {
  return {
    name: 'anthropic',
    requestIdHeader: 'request-id',
    parse: (body) => parseMessageRequest(body, firstAnthropicProvider(readConfig())),
    render: renderMessage,
    createStreamRenderer: (start) => new AnthropicStreamRenderer(start),
    renderFailure: renderAnthropicFailure,
  };
}

function firstAnthropicProvider({ providers }: ResolvedConfig): string | undefined {
  return providers
    .filter((candidate) => candidate.adapter === 'anthropic')
    .toSorted((one, other) => one.priority - other.priority)[0]?.name;
}
