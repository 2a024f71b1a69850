/** Reads token counts of the Anthropic wire, whose `input_tokens` leave out what was read from and written to the cache. */
import type { Usage } from '../../contract/response.ts';
import { asCount, asObject, definedOnly, type WireObject } from '../wire.ts';

export function parseUsage(usage: WireObject | undefined): Usage {
  if (usage === undefined) return {};
  const uncached = asCount(usage['input_tokens']);
  const cachedInputTokens = asCount(usage['cache_read_input_tokens']);
  const cacheWriteTokens = asCount(usage['cache_creation_input_tokens']);
  return definedOnly({
    inputTokens: uncached === undefined ? undefined : uncached + (cachedInputTokens ?? 0) + (cacheWriteTokens ?? 0),
    outputTokens: asCount(usage['output_tokens']),
    cachedInputTokens,
    cacheWriteTokens,
    reasoningTokens: asCount(asObject(usage['output_tokens_details'])?.['thinking_tokens']),
  });
}

/** Later counts replace earlier ones; a delta names only what has changed. */
export function mergeUsage(before: WireObject, after: WireObject | undefined): WireObject {
  const known = Object.entries(after ?? {}).filter(([, value]) => value !== null && value !== undefined);
  return { ...before, ...Object.fromEntries(known) };
}
