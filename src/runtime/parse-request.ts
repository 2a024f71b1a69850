/** Parses what callers of the library pass, once, at the edge: the lenient public shapes become the strict inner ones. */
import { z } from 'zod';
import { SwitchgearError } from '../contract/errors.ts';
import type {
  CompletionRequest,
  EmbeddingRequest,
  Message,
  ParsedCompletion,
  ParsedEmbedding,
  ParsedResponseFormat,
  ParsedToolChoice,
  RequestOptions,
  ToolChoice,
  ToolFunction,
} from '../contract/request.ts';

const TIMEOUT_MAX_MS = 7 * 86_400_000;
const KEY_LENGTH_MAX = 255;
const INPUTS_MAX = 2_048;

/** What is passed on as it is, and has to be told to a provider and a store all the same. */
const jsonObject = z.record(z.string(), z.unknown()).refine(isJson, 'JSON');
const wireFields = z.strictObject({ wire: z.string(), fields: jsonObject }).optional();
const headerValue = z.string().regex(/^[\x20-\x7e]{1,1024}$/, 'printable ASCII of at most 1024 characters');
const featureHeaders = z.record(z.string(), headerValue).optional();
const contentPart = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text'), text: z.string(), wireFields }),
  z.strictObject({
    type: z.literal('image_url'),
    image_url: z.strictObject({ url: z.string().min(1), detail: z.enum(['auto', 'low', 'high']).optional() }),
    wireFields,
  }),
  z.strictObject({ type: z.literal('wire'), wireFields: wireFields.unwrap() }),
]);
const content = z.union([z.string(), z.array(contentPart)]);
const toolCall = z.strictObject({
  id: z.string().min(1),
  type: z.literal('function').default('function'),
  function: z.strictObject({ name: z.string().min(1), arguments: z.string() }),
});
const message = z.discriminatedUnion('role', [
  z.strictObject({ role: z.enum(['system', 'developer']), content, name: z.string().optional(), wireFields }),
  z.strictObject({ role: z.literal('user'), content, name: z.string().optional(), wireFields }),
  z.strictObject({
    role: z.literal('assistant'),
    content: content.nullish(),
    refusal: z.string().nullish(),
    name: z.string().optional(),
    tool_calls: z.array(toolCall).optional(),
    reasoningDetails: z
      .strictObject({ provider: z.string(), blocks: z.array(z.unknown()).refine(isJson, 'JSON') })
      .optional(),
    wireFields,
  }),
  z.strictObject({
    role: z.literal('tool'),
    tool_call_id: z.string().min(1),
    content,
    isError: z.boolean().optional(),
    wireFields,
  }),
]);
const toolFunction = z.strictObject({
  name: z.string().regex(/^[\w.-]{1,128}$/, 'a function name of letters, digits, _, - and .'),
  description: z.string().optional(),
  parameters: jsonObject.optional(),
  strict: z.boolean().nullish(),
  wireFields,
});
const tool = z.union([z.strictObject({ type: z.literal('function'), function: toolFunction }), toolFunction]);
const toolChoice = z.union([
  z.enum(['auto', 'none', 'required']),
  z.strictObject({ name: z.string().min(1) }),
  z.strictObject({ type: z.literal('function'), function: z.strictObject({ name: z.string().min(1) }) }),
]);
const responseFormat = z.union([
  z.enum(['text', 'json']),
  z.strictObject({ type: z.enum(['text', 'json', 'json_object']) }),
  z.strictObject({
    type: z.literal('json_schema'),
    json_schema: z.strictObject({
      name: z.string().min(1).optional(),
      description: z.string().optional(),
      schema: jsonObject,
      strict: z.boolean().nullish(),
    }),
  }),
]);

const completionSchema = z.strictObject({
  model: z.string().min(1).optional(),
  messages: z.array(message).min(1),
  system: z.string().optional(),
  temperature: z.number().min(0).max(2).optional(),
  maxTokens: z.int().min(1).optional(),
  topP: z.number().min(0).max(1).optional(),
  stop: z.union([z.string(), z.array(z.string())]).optional(),
  seed: z.int().optional(),
  tools: z.array(tool).optional(),
  toolChoice: toolChoice.optional(),
  responseFormat: responseFormat.optional(),
  reasoningEffort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh']).optional(),
  providerOptions: z.record(z.string(), jsonObject).optional(),
  metadata: z.record(z.string(), z.string()).optional(),
  wireFields,
  featureHeaders,
});

const embeddingSchema = z.strictObject({
  model: z.string().min(1).optional(),
  input: z.union([z.string().min(1), z.array(z.string().min(1)).min(1).max(INPUTS_MAX)]),
  dimensions: z.int().min(1).optional(),
  wireFields,
  featureHeaders,
});

/** Half a character cannot be stored as such: two names that differ in it would become one. */
const storedName = z
  .string()
  .min(1)
  .max(KEY_LENGTH_MAX)
  .refine((text) => text.isWellFormed(), 'well-formed text');

const optionsSchema = z.strictObject({
  priority: z.enum(['high', 'normal', 'low']).optional(),
  timeoutMs: z.number().positive().max(TIMEOUT_MAX_MS).optional(),
  signal: z.custom<AbortSignal>((value) => value instanceof AbortSignal, 'an AbortSignal').optional(),
  idempotencyKey: storedName.optional(),
  tenant: storedName.optional(),
  tags: z.record(z.string(), z.string()).optional(),
  fallbacks: z.union([z.literal('none'), z.array(z.string().min(1)).max(16)]).optional(),
  delivery: z.enum(['live', 'whole', 'restart']).optional(),
  recovery: z.enum(['atLeastOnce', 'atMostOnce']).optional(),
});

/** @throws {SwitchgearError} `invalid-request` naming the first field at fault */
export function parseCompletion(input: CompletionRequest, defaultModel: string | undefined): ParsedCompletion {
  const request = check(completionSchema, input, 'request');
  const model = request.model ?? defaultModel;
  if (model === undefined)
    throw invalid('model', 'expected model to be given or defaults.model to be configured, got: neither');
  const { system, messages, stop, tools, toolChoice: choice, responseFormat: format, ...plain } = request;
  const leading: readonly Message[] = system === undefined ? [] : [{ role: 'system', content: system }];
  const parsed: Loose<ParsedCompletion> = {
    ...plain,
    kind: 'completion',
    model,
    // The schema is the Message type field by field, but for fields that are present and undefined.
    messages: [...leading, ...(messages as readonly Message[])],
    stop: typeof stop === 'string' ? [stop] : stop,
    tools: tools?.map(normalTool),
    toolChoice: choice === undefined ? undefined : normalToolChoice(choice),
    responseFormat: format === undefined ? undefined : normalFormat(format),
  };
  // `compact` makes undefined fields absent, which is all that `Loose` allows beyond the type.
  return compact(parsed) as ParsedCompletion;
}

/** @throws {SwitchgearError} `invalid-request` naming the first field at fault */
export function parseEmbedding(embedding: EmbeddingRequest): ParsedEmbedding {
  const request = check(embeddingSchema, embedding, 'request');
  if (request.model === undefined) throw invalid('model', 'expected model to be given, got: undefined');
  const input: readonly string[] = typeof request.input === 'string' ? [request.input] : request.input;
  const parsed: Loose<ParsedEmbedding> = { ...request, kind: 'embedding', model: request.model, input };
  // As above.
  return compact(parsed) as ParsedEmbedding;
}

/** @throws {SwitchgearError} `invalid-request` naming the first option at fault */
export function parseOptions(options: RequestOptions): RequestOptions {
  // As above.
  return compact(check(optionsSchema, options, 'options')) as RequestOptions;
}

/** The same shape, with optional fields that may be present and undefined, at every depth. */
type Loose<Value> = Value extends readonly (infer Item)[]
  ? readonly Loose<Item>[]
  : Value extends object
    ? { [Key in keyof Value]: Loose<Value[Key]> | (undefined extends Value[Key] ? undefined : never) }
    : Value;

/** Parses anything that came from outside. `what` names it as a whole. @throws {SwitchgearError} `invalid-request` naming the field at fault */
export function check<Schema extends z.ZodType>(schema: Schema, input: unknown, what: string): z.output<Schema> {
  const parsed = schema.safeParse(input, { reportInput: true });
  if (parsed.success) return parsed.data;
  const issue = deepest(parsed.error.issues);
  const path = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    const name = [path, issue.keys[0]].filter(Boolean).join('.');
    throw invalid(name, `expected ${what} to have known fields only, got: ${name}${hintFor(issue.keys[0] ?? '')}`);
  }
  throw invalid(path, describeIssue(path || what, issue));
}

/** Puts zod's sentence into ours: which field, what was expected, what is there. Values are not quoted: they may be prompts. */
function describeIssue(field: string, issue: Issue): string {
  const found = describeKind(issue.input);
  const size = /expected \w+ to (have|be) (.+)$/.exec(issue.message);
  if (size !== null) return `expected ${field} to ${size[1]} ${size[2]}, got: ${found}`;
  const wanted = /expected (.+?)(?:, received .+)?$/.exec(issue.message);
  return `expected ${field} to be ${wanted?.[1] ?? issue.message}, got: ${found}`;
}

const SHORT_WORD = /^[\w.-]{1,32}$/;

/** Not so: a BigInt, a ring, what throws when it is asked. */
function isJson(value: unknown): boolean {
  try {
    JSON.stringify(value);
    return true;
  } catch {
    return false;
  }
}

function describeKind(input: unknown): string {
  if (input === undefined) return 'nothing';
  if (input === null || typeof input === 'number' || typeof input === 'boolean') return String(input);
  if (typeof input === 'string') return SHORT_WORD.test(input) ? input : 'another text';
  return Array.isArray(input) ? `a list of ${input.length}` : 'something else';
}

type Issue = z.core.$ZodIssue;

/** Of a failed union, the branch that came furthest says most. */
function deepest(issues: readonly Issue[]): Issue {
  const first = issues[0];
  if (first === undefined) throw new TypeError('expected a failed parse to have an issue');
  if (first.code !== 'invalid_union' || first.errors.length === 0) return first;
  const branches = first.errors.map((branch) => deepest(branch));
  const furthest = branches.toSorted((left, right) => right.path.length - left.path.length)[0];
  if (furthest === undefined || furthest.path.length === 0) return first;
  return { ...furthest, path: [...first.path, ...furthest.path] };
}

/** The names of OpenAI's wire that callers try first. */
const HINTS: Readonly<Record<string, string>> = {
  max_tokens: 'maxTokens',
  max_completion_tokens: 'maxTokens',
  top_p: 'topP',
  tool_choice: 'toolChoice',
  response_format: 'responseFormat',
  reasoning_effort: 'reasoningEffort',
  timeout: 'timeoutMs',
  prompt: 'messages',
};

function hintFor(key: string): string {
  const hint = HINTS[key];
  return hint === undefined
    ? '; what only one provider understands goes under providerOptions'
    : `; did you mean ${hint}?`;
}

function invalid(param: string, text: string): SwitchgearError {
  return new SwitchgearError('invalid-request', text, { ...(param !== '' && { param }) });
}

function normalTool(definition: z.output<typeof tool>): Loose<ToolFunction> {
  const inner = 'function' in definition ? definition.function : definition;
  return { ...inner, strict: inner.strict ?? undefined };
}

function normalToolChoice(choice: ToolChoice): ParsedToolChoice {
  if (typeof choice === 'string') return { type: choice };
  return { type: 'tool', name: 'function' in choice ? choice.function.name : choice.name };
}

function normalFormat(format: z.output<typeof responseFormat>): Loose<ParsedResponseFormat> {
  if (typeof format === 'string') return { type: format };
  if (format.type !== 'json_schema') return { type: format.type === 'text' ? 'text' : 'json' };
  const { name = 'response', description, schema, strict } = format.json_schema;
  return { type: 'json-schema', name, description, schema, strict: strict ?? undefined };
}

/** Unknown is absent: fields that are present and undefined are dropped, at every depth. */
export function compact(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(compact);
  if (typeof value !== 'object' || value === null || value instanceof AbortSignal) return value;
  // What only one wire understands is not ours to tidy; its names count even where they have no value.
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, field]) =>
      field === undefined ? [] : [[key, key === 'wireFields' ? field : compact(field)]],
    ),
  );
}
