/** Why an answer ended, in the words of compatible servers. Some say by it that it did not end well. */
import type { FinishReason } from '../../contract/response.ts';
import { AttemptError } from '../attempt-error.ts';

const FINISH_REASONS: Readonly<Record<string, FinishReason>> = {
  stop: 'stop',
  eos: 'stop',
  end_turn: 'stop',
  stop_sequence: 'stop',
  length: 'length',
  max_tokens: 'length',
  model_length: 'length',
  tool_calls: 'tool-calls',
  function_call: 'tool-calls',
  tool_use: 'tool-calls',
  content_filter: 'content-filter',
  safety: 'content-filter',
};

/**
 * Parses a finish reason; `undefined` while there is none yet.
 *
 * @throws {AttemptError} `upstream-error`, `overloaded` when the provider says that it broke off (OpenRouter and Mistral `error`, DeepSeek
 * `insufficient_system_resource`)
 */
export function parseFinishReason(value: unknown): FinishReason | undefined {
  if (typeof value !== 'string' || value === '') return undefined;
  if (value === 'error')
    throw new AttemptError({
      kind: 'upstream-error',
      message: 'broke off the answer (finish reason: error)',
      isMaybeBilled: true,
    });
  if (value === 'insufficient_system_resource') {
    throw new AttemptError({
      kind: 'overloaded',
      message: `broke off the answer (finish reason: ${value})`,
      isMaybeBilled: true,
    });
  }
  return Object.hasOwn(FINISH_REASONS, value) ? FINISH_REASONS[value] : 'other';
}
