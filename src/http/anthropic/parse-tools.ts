/**
 * Tools and tool choice of a message. Custom tools are ours too. Once a list holds a server tool it is carried whole, choice
 * included, because half a list would change what the model is offered.
 */
import { z } from 'zod';
import type { CompletionRequest, ToolChoice, ToolFunction } from '../../contract/request.ts';
import { check, flag, functionName, type JsonObject, jsonObject, refuse, text } from '../check.ts';
import type { WireFieldCollector } from '../wire-fields.ts';

const toolSchema = z.looseObject({
  name: functionName,
  description: z.string({ error: 'a string' }).nullish(),
  input_schema: jsonObject,
  strict: flag().nullish(),
});
const nameSchema = text('the name of a tool');

const TOOL_FIELDS: ReadonlySet<string> = new Set(['type', 'name', 'description', 'input_schema', 'strict']);

/** @throws {SwitchgearError} `invalid-request` naming the field */
export function parseToolFields(
  tools: readonly JsonObject[],
  choice: (JsonObject & { type: string }) | undefined,
  collector: WireFieldCollector,
): { request: Pick<CompletionRequest, 'tools' | 'toolChoice'>; fields: JsonObject } {
  if (tools.some((tool) => (tool['type'] ?? 'custom') !== 'custom'))
    return { request: {}, fields: { tools, tool_choice: choice } };
  const functions = tools.map((tool, index) => parseTool(tool, `tools[${index}]`, collector));
  const ours = functions.length === 0 ? {} : { tools: functions };
  if (choice === undefined) return { request: ours, fields: {} };
  const toolChoice = parseToolChoice(choice);
  if (choice['disable_parallel_tool_use'] === true) return { request: ours, fields: { tool_choice: choice } };
  return { request: { ...ours, toolChoice }, fields: {} };
}

function parseTool(value: JsonObject, path: string, collector: WireFieldCollector): ToolFunction {
  const tool = check(toolSchema, value, path);
  return {
    name: tool.name,
    ...(typeof tool.description === 'string' && { description: tool.description }),
    parameters: tool.input_schema,
    ...(typeof tool.strict === 'boolean' && { strict: tool.strict }),
    ...collector.rest(tool, TOOL_FIELDS, path),
  };
}

function parseToolChoice(choice: JsonObject & { type: string }): ToolChoice {
  switch (choice.type) {
    case 'auto':
    case 'none':
      return choice.type;
    case 'any':
      return 'required';
    case 'tool':
      return { name: check(nameSchema, choice['name'], 'tool_choice.name') };
    default:
      throw refuse('tool_choice.type', 'auto, any, tool or none', choice.type);
  }
}
