/** Judges the options of a batch: those it shares with a request as there, and its own. */
import { z } from 'zod';
import type { BatchCounts, BatchOptions } from '../contract/batches.ts';
import { check, parseOptions } from '../runtime/parse-request.ts';

const METADATA_MAX = 16;

/** Judged by `parseOptions`. */
const shared = z.unknown().optional();

const ownSchema = z.strictObject({
  priority: shared,
  timeoutMs: shared,
  idempotencyKey: shared,
  tenant: shared,
  tags: shared,
  fallbacks: shared,
  recovery: shared,
  metadata: z
    .record(z.string().max(64), z.string().max(512))
    .refine((metadata) => Object.keys(metadata).length <= METADATA_MAX, { error: `at most ${METADATA_MAX} texts` })
    .optional(),
  onProgress: z.custom<(counts: BatchCounts) => void>((value) => typeof value === 'function', 'a function').optional(),
});

/** @throws {SwitchgearError} `invalid-request` */
export function parseBatchOptions(options: BatchOptions): BatchOptions {
  const { metadata, onProgress } = check(ownSchema, options, 'options');
  const { priority, timeoutMs, idempotencyKey, tenant, tags, fallbacks, recovery } = options;
  const parsed = parseOptions({
    ...(priority !== undefined && { priority }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(idempotencyKey !== undefined && { idempotencyKey }),
    ...(tenant !== undefined && { tenant }),
    ...(tags !== undefined && { tags }),
    ...(fallbacks !== undefined && { fallbacks }),
    ...(recovery !== undefined && { recovery }),
  });
  return {
    ...parsed,
    ...(metadata !== undefined && { metadata }),
    ...(onProgress !== undefined && { onProgress }),
  };
}
