/**
 * Whether a provider is asked for its answer as a stream. A streamed request is, as a matter of course; a submitted one too,
 * where that can be had: its readers then see the answer grow, a provider that hangs is found out by its first token, and an
 * answer may take as long as it goes on. Nobody asked for that, so nobody may lose an answer by it: what refuses to stream is
 * asked again without, and from then on always without.
 */
import type { Adapter } from '../contract/adapter.ts';
import type { OpenRequest } from './open-request.ts';

/** Models of one adapter that are remembered; config and callers name far fewer. */
const REFUSALS_MAX = 1_000;

/** What is known of an adapter goes with it: a reload makes another one. */
const refusals = new WeakMap<Adapter, Set<string>>();

/** Whether an attempt of this request at `model` is a stream. */
export function isStreamed({ init }: OpenRequest, adapter: Adapter, model: string): boolean {
  if (init.request.kind === 'embedding') return false;
  switch (init.mode) {
    case 'sync':
      return false;
    case 'stream':
      return true;
    case 'async':
      return refusals.get(adapter)?.has(model) !== true && claimsToStream(adapter, model);
  }
}

/** A model answered without streaming what it had refused to stream. */
export function noteRefusal(adapter: Adapter, model: string): void {
  const models = refusals.get(adapter) ?? new Set();
  if (models.size >= REFUSALS_MAX) models.clear();
  refusals.set(adapter, models.add(model));
}

/** An adapter of a user may throw when it is asked; it then answers as it always did. */
function claimsToStream(adapter: Adapter, model: string): boolean {
  try {
    return adapter.supports('stream', model);
  } catch {
    return false;
  }
}
