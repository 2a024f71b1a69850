/**
 * What `options` of a mock provider may say, parsed once when the adapter is built. A mistake stops the start and names
 * its path; nothing is guessed, because a script that silently means something else makes a test that proves nothing.
 */
import { z } from 'zod';
import { SwitchgearError } from '../../contract/errors.ts';
import { FAILURE_POLICY, type FailureKind } from '../../contract/failures.ts';
import { describeIssues } from './describe-issues.ts';
import { pauseMsMax } from './pause.ts';
import { dimensionsMax } from './vectors.ts';

/** Most steps, rules or outcomes of one list. */
const stepsMax = 10_000;
const patternLengthMax = 1_000;

// The table's keys are exactly its type's: it is a record over `FailureKind`.
const failureKinds = Object.keys(FAILURE_POLICY) as FailureKind[];

const milliseconds = z.number().min(0).max(pauseMsMax);
const tokenCount = z.int().min(0);

const failureSchema = z.strictObject({
  kind: z.enum(failureKinds),
  message: z.string().max(2_000).optional(),
  status: z.int().min(100).max(599).optional(),
  providerCode: z.string().optional(),
  retryAfterMs: milliseconds.optional(),
});

const usageSchema = z.strictObject({
  inputTokens: tokenCount.optional(),
  outputTokens: tokenCount.optional(),
  cachedInputTokens: tokenCount.optional(),
  cacheWriteTokens: tokenCount.optional(),
  reasoningTokens: tokenCount.optional(),
});

const paceFields = {
  /** Before anything happens. */
  delayMs: milliseconds.optional(),
  /** Between the start of the answer and its first token. */
  firstTokenMs: milliseconds.optional(),
  /** Undefined: all at once. */
  tokensPerSecond: z.number().positive().max(1_000_000).optional(),
};

const toolCallSchema = z.strictObject({
  id: z.string().min(1).optional(),
  name: z.string().min(1),
  /** A JSON text as it is, or a value to be written as JSON. Default `{}`. */
  arguments: z.union([z.string(), z.record(z.string(), z.json())], { error: 'a JSON text or an object' }).optional(),
});

const stepFields = {
  ...paceFields,
  text: z.string().optional(),
  json: z.json().optional(),
  toolCalls: z.array(toolCallSchema).min(1).max(128).optional(),
  refusal: z.string().min(1).optional(),
  /** Instead of an answer; with content or a cut: after it. */
  failure: failureSchema.optional(),
  /** Breaks the answer after so many tokens: with `failure` or `hang`, else with a failure of kind `broken`. */
  cutAfterTokens: tokenCount.optional(),
  /** Silence until the caller leaves, instead of an answer; with content or a cut: after it. */
  hang: z.boolean().optional(),
  /** `none`: the answer ends without a finish reason. */
  finishReason: z.enum(['stop', 'length', 'tool-calls', 'content-filter', 'other', 'none']).optional(),
  /** `none`: the answer tells no usage. */
  usage: z.union([z.literal('none'), usageSchema], { error: 'none, or an object of token counts' }).optional(),
};

interface CheckedStep {
  readonly text?: string | undefined;
  readonly json?: unknown;
  readonly toolCalls?: readonly unknown[] | undefined;
  readonly refusal?: string | undefined;
  readonly failure?: unknown;
  readonly hang?: boolean | undefined;
}

const isOneText = (step: CheckedStep) => step.text === undefined || step.json === undefined;
const isOneEnd = (step: CheckedStep) => step.failure === undefined || step.hang !== true;

/** Whether a step says what to answer, rather than only how it fails. */
export function hasContent(step: CheckedStep): boolean {
  return (
    step.text !== undefined || step.json !== undefined || step.toolCalls !== undefined || step.refusal !== undefined
  );
}

const stepSchema = z
  .strictObject(stepFields)
  .refine(isOneText, { error: 'a step with text or json, not both' })
  .refine(isOneEnd, { error: 'a step with failure or hang, not both' });

const patternSchema = z
  .strictObject({
    pattern: z.string().max(patternLengthMax),
    flags: z
      .string()
      .regex(/^[imsu]*$/u, { error: 'flags out of i, m, s, u' })
      .default(''),
  })
  .refine(isPattern, { error: 'a regular expression', path: ['pattern'] });

const ruleSchema = z.strictObject({
  /** What the last user message must contain, or match. */
  match: z.union([z.string().min(1), patternSchema], {
    error: 'a text, or { pattern, flags } with a regular expression',
  }),
  step: stepSchema,
});

const outcomeSchema = z.union([z.literal('ok'), failureSchema], {
  error: `ok, or a failure with a kind out of ${failureKinds.join(', ')}`,
});

/** One outcome for every call, or a list taken in order; after its end calls succeed. */
const outcomesSchema = z.union([outcomeSchema, z.array(outcomeSchema).max(stepsMax)], {
  error: `ok, a failure with a kind out of ${failureKinds.join(', ')}, or a list of these`,
});

const optionsSchema = z.strictObject({
  ...paceFields,
  /** Taken in order, one step per completion that no rule matches. */
  script: z.array(stepSchema).max(stepsMax).default([]),
  /** Starts the script again at its end; otherwise `default` answers. */
  repeat: z.boolean().default(false),
  /** The first rule that matches answers, before and without the script. */
  rules: z.array(ruleSchema).max(stepsMax).default([]),
  /** What answers when neither rule nor script does. Default: an echo that names the mock. */
  default: stepSchema.optional(),
  /** Fails completions by chance, before rules and script. */
  failures: z
    .array(z.strictObject({ rate: z.number().min(0).max(1), failure: failureSchema }))
    .max(100)
    .refine((failures) => failures.reduce((sum, { rate }) => sum + rate, 0) <= 1 + Number.EPSILON, {
      error: 'rates that add up to at most 1',
    })
    .default([]),
  check: outcomesSchema.default('ok'),
  embed: outcomesSchema.default('ok'),
  embeddingDimensions: z.int().min(1).max(dimensionsMax).default(256),
});

export type MockOptions = z.infer<typeof optionsSchema>;
export type MockStep = z.infer<typeof stepSchema>;
export type MockOutcome = z.infer<typeof outcomeSchema>;
export type MockFailureOption = z.infer<typeof failureSchema>;

/** Parses the options of provider `name`. @throws {SwitchgearError} `invalid-config`, naming every mistake */
export function parseMockOptions(options: unknown, name: string): MockOptions {
  const parsed = optionsSchema.safeParse(options, { reportInput: true });
  if (parsed.success) return parsed.data;
  const problems = describeIssues(parsed.error.issues, `providers.${name}.options`);
  const message = problems.map((problem) => problem.message).join('; ');
  throw new SwitchgearError('invalid-config', message, {
    provider: name,
    param: problems[0]?.path ?? `providers.${name}.options`,
    // A list names the path beside the message.
    cause: {
      problems: problems.map(({ path, message: text }) => ({ path, message: text.replace(`${path} to be `, '') })),
    },
  });
}

function isPattern({ pattern, flags }: { readonly pattern: string; readonly flags: string }): boolean {
  try {
    return new RegExp(pattern, flags) instanceof RegExp;
  } catch {
    return false;
  }
}
