/**
 * What the simulator is told, at its start and while it runs, parsed once. The same names and rules hold for the library,
 * the control address and, spelt as flags, the command line. Mistakes are all named at once.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { describeIssues } from '../adapters/mock/describe-issues.ts';
import { SwitchgearError } from '../contract/errors.ts';
import type { Clock } from '../contract/clock.ts';
import { listFaults, parseFault, type Fault } from './faults.ts';
import type { Distribution } from './random.ts';

/** Most entries of any list in the options. */
const listMax = 10_000;
/** Most words of an answer. */
const outputTokensMax = 100_000;
const delayMsMax = 600_000;
const scheduleMsMax = 2_147_483_647;

const delayMs = z.number().min(0).max(delayMsMax);
const scheduleMs = z.number().min(0).max(scheduleMsMax);

/** A fault's name, parsed; `ok` is null. */
const faultSchema = z.string().transform((name, context): Fault | null => {
  const parsed = parseFault(name);
  if (parsed.kind === 'fault') return parsed.fault;
  if (parsed.kind === 'ok') return null;
  const expected =
    parsed.kind === 'mistake'
      ? parsed.expected
      : `ok or one of ${listFaults()
          .map(({ form }) => form)
          .join(', ')}`;
  context.addIssue({ code: 'custom', message: expected, input: name });
  return z.NEVER;
});

const latencySchema = z.union(
  [
    delayMs.transform((ms): Distribution => ({ kind: 'constant', ms })),
    z.strictObject({ kind: z.literal('constant'), ms: delayMs }),
    z
      .strictObject({ kind: z.literal('uniform'), minMs: delayMs, maxMs: delayMs })
      .refine(({ minMs, maxMs }) => minMs <= maxMs),
    z.strictObject({ kind: z.literal('lognormal'), medianMs: delayMs, sigma: z.number().min(0).max(5) }),
  ],
  {
    error: `ms up to ${delayMsMax}, or { kind: constant, ms }, { kind: uniform, minMs, maxMs } or { kind: lognormal, medianMs, sigma }`,
  },
);

const outageSchema = z
  .strictObject({ fromMs: scheduleMs, toMs: scheduleMs, fault: faultSchema })
  .refine(({ fromMs, toMs }) => fromMs < toMs, { error: 'an outage that ends after it began' });

const failureRatesSchema = z
  .array(z.strictObject({ rate: z.number().min(0).max(1), fault: faultSchema }))
  .max(listMax)
  .refine((failures) => failures.reduce((sum, { rate }) => sum + rate, 0) <= 1 + Number.EPSILON, {
    error: 'rates that add up to at most 1',
  });

const settingsFields = {
  latencyMs: latencySchema.nullish(),
  tokensPerSecond: z.number().positive().max(1_000_000).nullish(),
  outputTokens: z.int().min(1).max(outputTokensMax).nullish(),
  models: z.array(z.string().min(1)).min(1).max(listMax).nullish(),
  /** Only their hashes are kept. */
  keys: z.array(z.string().min(1).transform(hashKey)).min(1).max(listMax).nullish(),
  outages: z.array(outageSchema).max(listMax).nullish(),
  failures: failureRatesSchema.nullish(),
  script: z.array(faultSchema).max(listMax).nullish(),
  fault: faultSchema.nullish(),
  forMs: scheduleMs.positive().nullish(),
};

const hasFaultBesideTime = ({ fault, forMs }: { fault?: unknown; forMs?: unknown }) =>
  forMs === undefined || forMs === null || (fault !== undefined && fault !== null);
const besideFault = { error: 'left out without a fault', path: ['forMs'] };

const patchSchema = z.strictObject(settingsFields).refine(hasFaultBesideTime, besideFault);

const startSchema = z
  .strictObject({
    ...settingsFields,
    name: z
      .string()
      .regex(/^[\w.-]{1,40}$/u, { error: 'a word of letters, digits, dots and dashes' })
      .default('simulator'),
    port: z.int().min(0).max(65_535).default(0),
    host: z.string().min(1).default('127.0.0.1'),
    seed: z.int().min(0).max(4_294_967_295).default(1),
  })
  .refine(hasFaultBesideTime, besideFault);

/** What can be changed while the simulator runs; `null` gives an option its default again. */
export interface SimulatorPatch {
  /** From the arrival of a request to its headers. Default 0. */
  readonly latencyMs?: number | Distribution | null | undefined;
  /** Speed of streams; an unstreamed answer takes as long as its stream would. Default: all at once. */
  readonly tokensPerSecond?: number | null | undefined;
  /** Words of an answer that the request does not limit. Default 60. */
  readonly outputTokens?: number | null | undefined;
  /** The only models there are, besides those named after a fault. Default: every name is a model. */
  readonly models?: readonly string[] | null | undefined;
  /** The only keys accepted; others get 401. Default: any, or none. */
  readonly keys?: readonly string[] | null | undefined;
  /** In ms since the start, `toMs` exclusive. */
  readonly outages?:
    | readonly { readonly fromMs: number; readonly toMs: number; readonly fault: string }[]
    | null
    | undefined;
  /** One draw decides between all of them; the rates add up to at most 1. */
  readonly failures?: readonly { readonly rate: number; readonly fault: string }[] | null | undefined;
  /** One fault, or `ok`, per completion or embedding, in order; `ok` after its end. */
  readonly script?: readonly string[] | null | undefined;
  /** Spoils everything from now on, until it is `ok` or null. */
  readonly fault?: string | null | undefined;
  /** Ends `fault` by itself. */
  readonly forMs?: number | null | undefined;
}

export interface SimulatorOptions extends SimulatorPatch {
  readonly clock: Clock;
  /** Carried in every answer. Default `simulator`. */
  readonly name?: string | undefined;
  /** Default 0: any free port. */
  readonly port?: number | undefined;
  /** Default 127.0.0.1. */
  readonly host?: string | undefined;
  /** Of latencies and failure rates. Default 1. */
  readonly seed?: number | undefined;
}

export type ParsedPatch = z.output<typeof patchSchema>;
export type ParsedStart = z.output<typeof startSchema>;

/** Parses what the simulator is started with. @throws {SwitchgearError} `invalid-config`, naming every mistake */
export function parseStart(options: Omit<SimulatorOptions, 'clock'>): ParsedStart {
  return parseWith(startSchema, options);
}

/** Parses a change. @throws {SwitchgearError} `invalid-config`, naming every mistake */
export function parsePatch(patch: unknown): ParsedPatch {
  return parseWith(patchSchema, patch);
}

/** Names a key in logs and comparisons without keeping it. */
export function hashKey(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

function parseWith<Output>(schema: z.ZodType<Output>, input: unknown): Output {
  const parsed = schema.safeParse(input, { reportInput: true });
  if (parsed.success) return parsed.data;
  const problems = describeIssues(parsed.error.issues, '', ['keys']);
  throw new SwitchgearError('invalid-config', problems.map(({ message }) => message).join('; '), {
    param: problems[0]?.path ?? '',
  });
}
