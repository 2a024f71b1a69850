/**
 * Tools and tool choice of a chat completion. Functions are ours too. Once a list holds another kind of tool it is carried
 * whole, choice included, because half a list would change what the model is offered.
 */
import { z } from 'zod';
import type { CompletionRequest, ToolFunction } from '../../contract/request.ts';
import { check, flag, functionName, type JsonObject, jsonObject, refuse, text } from '../check.ts';
import type { WireFieldCollector } from '../wire-fields.ts';

/** What tools add to the request, and to its wire fields. */
export interface ToolFields {
  readonly request: Pick<CompletionRequest, 'tools' | 'toolChoice'>;
  readonly fields: JsonObject;
}

const toolSchema = z.looseObject({ type: text('function, or the type of another tool') }, { error: 'a tool object' });
const functionSchema = z.looseObject(
  {
    name: functionName,
    description: z.string({ error: 'a string' }).nullish(),
    parameters: jsonObject.nullish(),
    strict: flag().nullish(),
  },
  { error: 'an object with a name' },
);

const TOOL_FIELDS: ReadonlySet<string> = new Set(['type', 'function']);
const FUNCTION_FIELDS: ReadonlySet<string> = new Set(['name', 'description', 'parameters', 'strict']);

/** @throws {SwitchgearError} `invalid-request` naming the field */
export function parseToolFields(
  tools: readonly unknown[] | null | undefined,
  choice: string | JsonObject | null | undefined,
  collector: WireFieldCollector,
): ToolFields {
  const parsed = (tools ?? []).map((tool, index) => check(toolSchema, tool, `tools[${index}]`));
  if (parsed.some((tool) => tool.type !== 'function')) {
    return { request: {}, fields: { tools: parsed, tool_choice: choice ?? undefined } };
  }
  const functions = parsed.map((tool, index) => parseFunction(tool, `tools[${index}]`, collector));
  const ours = functions.length === 0 ? {} : { tools: functions };
  const toolChoice = parseToolChoice(choice ?? undefined);
  if (toolChoice === 'unmodelled') return { request: ours, fields: { tool_choice: choice } };
  return { request: { ...ours, ...toolChoice }, fields: {} };
}

function parseFunction(tool: JsonObject, path: string, collector: WireFieldCollector): ToolFunction {
  const inner = check(functionSchema, tool['function'], `${path}.function`);
  const around = Object.fromEntries(Object.entries(tool).filter(([name]) => !TOOL_FIELDS.has(name)));
  const isDecorated = Object.keys(inner).some((name) => !FUNCTION_FIELDS.has(name) && inner[name] !== null);
  return {
    name: inner.name,
    ...(typeof inner.description === 'string' && { description: inner.description }),
    ...(inner.parameters && { parameters: inner.parameters }),
    ...(typeof inner.strict === 'boolean' && { strict: inner.strict }),
    ...collector.carry({ ...around, ...(isDecorated && { function: inner }) }, path),
  };
}

const namedChoiceSchema = z.object({ name: text() }, { error: 'an object with a name' });

function parseToolChoice(
  choice: string | JsonObject | undefined,
): Pick<CompletionRequest, 'toolChoice'> | 'unmodelled' {
  if (choice === undefined) return {};
  if (choice === 'auto' || choice === 'none' || choice === 'required') return { toolChoice: choice };
  if (typeof choice === 'string') throw refuse('tool_choice', 'auto, none, required or an object', choice);
  if (choice['type'] !== 'function') return 'unmodelled';
  return { toolChoice: { name: check(namedChoiceSchema, choice['function'], 'tool_choice.function').name } };
}
