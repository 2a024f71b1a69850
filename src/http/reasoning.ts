/**
 * Signed reasoning on its way through clients. Which provider signed a block must survive the journey, and the Anthropic
 * wire has no field for it; so all blocks of a message travel together in one `redacted_thinking` block, which clients of
 * that wire send back unread. Its content is not secret, only opaque.
 */
import { z } from 'zod';
import type { ReasoningDetails } from '../contract/request.ts';

const PREFIX = 'switchgear:';
const detailsSchema = z.object({ provider: z.string().min(1), blocks: z.array(z.unknown()) });
/** Blocks with text: Anthropic's, and those in which our OpenAI adapter keeps a plain `reasoning_content`. */
const thinkingSchema = z.object({ thinking: z.string() });
const plainSchema = z.object({ field: z.literal('reasoning_content'), value: z.string() });

/** One opaque string of everything there is. */
export function sealReasoning(details: ReasoningDetails): string {
  return PREFIX + Buffer.from(JSON.stringify(details)).toString('base64url');
}

/** Whether a text claims to be sealed reasoning. */
export function isSealed(text: string): boolean {
  return text.startsWith(PREFIX);
}

/** What `sealReasoning` sealed; undefined for anything else, or when it was damaged. */
export function unsealReasoning(sealed: string): ReasoningDetails | undefined {
  if (!isSealed(sealed)) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(sealed.slice(PREFIX.length), 'base64url').toString());
    return detailsSchema.safeParse(value).data;
  } catch {
    return undefined;
  }
}

/** The readable text of reasoning, if it has any. */
export function readReasoningText(details: ReasoningDetails | undefined): string | undefined {
  const texts = (details?.blocks ?? []).map(
    (block) => thinkingSchema.safeParse(block).data?.thinking ?? plainSchema.safeParse(block).data?.value ?? '',
  );
  const joined = texts.filter((thinking) => thinking !== '').join('\n');
  return joined === '' ? undefined : joined;
}
