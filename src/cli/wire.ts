/**
 * The answers of the daemon as far as the commands read them. Lenient: the daemon may be newer or older than this
 * program, so a field that is missing shows as `-`, and only an answer of another shape altogether is refused.
 */
import { z } from 'zod';
import { EXIT } from '../daemon/exit-code.ts';
import { CliFailure } from './failure.ts';

const number = z.number().nullish();
const string = z.string().nullish();

const wireError = z.object({ code: string, type: string, message: string });
const toolCall = z.object({ function: z.object({ name: z.string(), arguments: z.string() }) });

export const completionBody = z.object({
  choices: z
    .array(
      z.object({
        message: z.object({ content: string, refusal: string, tool_calls: z.array(toolCall).nullish() }),
        finish_reason: string,
      }),
    )
    .min(1),
});
export type CompletionBody = z.infer<typeof completionBody>;

export const completionChunk = z.object({
  choices: z
    .array(z.object({ delta: z.object({ content: string, refusal: string }).nullish(), finish_reason: string }))
    .nullish(),
  error: wireError.nullish(),
});

export const requestBody = z.object({
  requestId: z.string(),
  status: z.enum(['queued', 'running', 'succeeded', 'failed', 'cancelled']),
  response: completionBody.nullish(),
  error: wireError.nullish(),
});

export interface ActorNode {
  readonly id: string;
  readonly state: string;
  readonly restarts: number;
  readonly incarnation: number;
  readonly children?: readonly ActorNode[] | null | undefined;
}
const actorNode: z.ZodType<ActorNode> = z.lazy(() =>
  z.object({
    id: z.string(),
    state: z.string(),
    restarts: z.number(),
    incarnation: z.number(),
    children: z.array(actorNode).nullish(),
  }),
);
export const treeBody = z.object({ children: z.array(actorNode) });

export const providersBody = z.object({
  providers: z.record(
    z.string(),
    z.object({
      status: z.string(),
      reason: string,
      breaker: z.object({
        state: z.string(),
        failureCount: number,
        successCount: number,
        nextProbeAt: number,
        lastError: string,
      }),
      uptimePercent: number,
      latency: z.object({ p50Ms: number, p95Ms: number }).nullish(),
      recentErrors: z.array(z.object({ at: z.number(), message: z.string() })).nullish(),
      state: z
        .object({
          gate: string,
          isDown: z.boolean().nullish(),
          isSuspended: z.boolean().nullish(),
          credentials: z.array(z.object({ id: z.string(), state: z.string(), heldForMs: number })).nullish(),
          concurrency: z.object({ limit: z.number(), inFlight: z.number() }).nullish(),
        })
        .nullish(),
    }),
  ),
  leftOut: z.array(z.object({ name: z.string(), reason: z.string() })).nullish(),
});
export type ProvidersBody = z.infer<typeof providersBody>;
export type ProviderRow = ProvidersBody['providers'][string];

export const queueBody = z.object({
  lanes: z.array(
    z.object({
      provider: z.string(),
      waiting: z.number(),
      running: z.number(),
      limit: z.number(),
      paused: z.boolean().nullish(),
    }),
  ),
  open: z.number(),
  waiting: number,
  running: number,
  parked: number,
});
export type QueueBody = z.infer<typeof queueBody>;

const money = z.object({ usdNanos: z.number() });
export const costsBody = z.object({
  totalCost: money,
  costByProvider: z.record(z.string(), money),
  costByModel: z.record(z.string(), money),
  costByTenant: z.record(z.string(), money),
  averageCostPerRequest: money.nullish(),
  recordCount: z.number(),
  unpricedCount: z.number(),
  tokenUsage: z.object({
    inputTokens: z.number(),
    outputTokens: z.number(),
    cachedInputTokens: number,
    reasoningTokens: number,
  }),
});

export const explainBody = z.object({
  candidates: z.array(
    z.object({ provider: z.string(), model: z.string(), usable: z.boolean(), reasons: z.array(z.string()) }),
  ),
});

/** Reads `body` as `schema`. @throws {CliFailure} when what answered does not speak like Switchgear. */
export function parseBody<Schema extends z.ZodType>(schema: Schema, body: unknown, url: string): z.infer<Schema> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues[0]?.path.join('.') ?? '';
  throw new CliFailure(
    EXIT.protocol,
    `expected ${url} to answer as Switchgear does, got another shape at "${where}": is that Switchgear?`,
  );
}
