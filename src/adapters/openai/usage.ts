/**
 * Reads token counts in the dialects of the OpenAI wire. `prompt_tokens` includes cached tokens everywhere. Whether
 * `completion_tokens` includes reasoning differs: xAI counts it beside, which shows in the total.
 */
import type { Usage } from '../../contract/response.ts';
import { asCount, asObject, definedOnly } from '../wire.ts';

export function parseUsage(value: unknown): Usage {
  const usage = asObject(value);
  if (usage === undefined) return {};
  const input = asObject(usage['prompt_tokens_details']);
  const output = asObject(usage['completion_tokens_details']);
  const reasoningTokens = asCount(output?.['reasoning_tokens']) ?? asCount(usage['reasoning_tokens']);
  const inputTokens = asCount(usage['prompt_tokens']);
  return definedOnly({
    inputTokens,
    outputTokens: readOutputTokens(
      inputTokens,
      asCount(usage['completion_tokens']),
      reasoningTokens,
      asCount(usage['total_tokens']),
    ),
    cachedInputTokens:
      asCount(input?.['cached_tokens']) ??
      asCount(usage['prompt_cache_hit_tokens']) ??
      asCount(usage['num_cached_tokens']),
    cacheWriteTokens: asCount(input?.['cache_write_tokens']),
    reasoningTokens,
  });
}

function readOutputTokens(
  input: number | undefined,
  output: number | undefined,
  reasoning: number | undefined,
  total: number | undefined,
): number | undefined {
  if (output === undefined || input === undefined || total === undefined || !reasoning) return output;
  return total === input + output + reasoning ? output + reasoning : output;
}
