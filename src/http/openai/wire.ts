/** The OpenAI API as a wire of the edge. The native routes speak it too. */
import type { Wire } from '../wire.ts';
import { parseChatCompletion } from './parse.ts';
import { renderChatCompletion, renderOpenaiFailure } from './render.ts';
import { OpenaiStreamRenderer } from './stream.ts';

export const openaiWire: Wire = {
  name: 'openai',
  requestIdHeader: 'x-request-id',
  parse: parseChatCompletion,
  render: renderChatCompletion,
  createStreamRenderer: (start) => new OpenaiStreamRenderer(start),
  renderFailure: renderOpenaiFailure,
};
