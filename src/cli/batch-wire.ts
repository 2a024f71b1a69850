/** What the daemon says of batches and files, as far as the commands read it. */
import { z } from 'zod';
import { EXIT } from '../daemon/exit-code.ts';
import { CliFailure } from './failure.ts';

const number = z.number().nullish();
const string = z.string().nullish();

export const fileBody = z.object({ id: z.string() });

export const batchBody = z.object({
  id: z.string(),
  status: z.enum([
    'validating',
    'failed',
    'in_progress',
    'finalizing',
    'completed',
    'expired',
    'cancelling',
    'cancelled',
  ]),
  endpoint: string,
  created_at: number,
  expires_at: number,
  request_counts: z.object({ total: z.number(), completed: z.number(), failed: z.number() }),
  status_counts: z
    .object({
      queued: z.number(),
      running: z.number(),
      succeeded: z.number(),
      failed: z.number(),
      cancelled: z.number(),
    })
    .nullish(),
  results_file_id: string,
  errors: z
    .object({ data: z.array(z.object({ code: string, line: number, message: string, param: string })).nullish() })
    .nullish(),
});
export type BatchBody = z.infer<typeof batchBody>;

export const batchListBody = z.object({ data: z.array(batchBody) });

/** One line of the results. */
export const resultLine = z.object({
  custom_id: z.string(),
  response: z
    .object({
      status_code: z.number(),
      body: z.looseObject({ error: z.object({ code: string, message: string }).nullish() }).nullish(),
    })
    .nullish(),
  error: z.object({ code: string, message: string }).nullish(),
});

/** Whether nothing will change any more. */
export function isOver({ status }: BatchBody): boolean {
  return status === 'failed' || status === 'completed' || status === 'expired' || status === 'cancelled';
}

/** What was wrong with the input, a line each. */
export function problemsOf({ errors }: BatchBody): readonly string[] {
  return (errors?.data ?? []).map(({ line, message, code }) => {
    const place = line === null || line === undefined ? '' : `line ${line}: `;
    return `${place}${message ?? code ?? 'wrong'}`;
  });
}

/** Checks a batch id before it becomes part of a path. @throws {CliFailure} */
export function batchPath(batchId: string): string {
  if (!/^[A-Za-z0-9_-]{1,256}$/.test(batchId)) {
    throw new CliFailure(EXIT.usage, `expected ID to be a batch id such as batch_x1y2, got: ${batchId}`);
  }
  return `/v1/batches/${batchId}`;
}
