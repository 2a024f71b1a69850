/** How one attempt ended, as a value (R2): answered, or failed with what is known of it. */
import type { AdapterEmbedReply, AdapterReply, Failure } from '../contract/adapter.ts';
import type { Usage } from '../contract/response.ts';

export type AttemptOutcome =
  | {
      readonly kind: 'answered';
      readonly reply: AdapterReply;
      /** What a stream told of the model's reasoning. */
      readonly reasoning: string;
      readonly firstTokenMs: number | undefined;
      readonly durationMs: number;
    }
  | { readonly kind: 'embedded'; readonly reply: AdapterEmbedReply; readonly durationMs: number }
  | {
      readonly kind: 'failed';
      readonly failure: Failure;
      /** What had arrived; undefined when no content had. */
      readonly partial: { readonly text: string; readonly usage: Usage } | undefined;
      /** What the provider had written by then, for the bill; undefined when no content had arrived. */
      readonly written: { readonly text: string; readonly usage: Usage } | undefined;
      readonly durationMs: number;
    };
