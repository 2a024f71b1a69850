/**
 * When the mock and the simulator call a tool. The rule is fixed, so that a test can ask for a call in plain words: a
 * forced choice calls the named tool, or the first; otherwise each tool whose name occurs in the last message is called,
 * in the order of `tools`. A tool's result is answered with text.
 */
import type { ParsedToolChoice } from '../../contract/request.ts';
import { buildInstance } from './schema-instance.ts';

export interface CallableTool {
  readonly name: string;
  /** JSON Schema of the arguments. */
  readonly parameters?: Readonly<Record<string, unknown>> | undefined;
}

export interface ToolQuestion {
  readonly tools: readonly CallableTool[];
  readonly choice: ParsedToolChoice | undefined;
  /** Text of the last message. */
  readonly prompt: string;
  /** The last message is the result of a tool. */
  readonly isToolResult: boolean;
}

/** Names the tools to call for one request; none when it is to be answered with text. */
export function chooseTools({
  tools,
  choice = { type: 'auto' },
  prompt,
  isToolResult,
}: ToolQuestion): readonly CallableTool[] {
  switch (choice.type) {
    case 'none':
      return [];
    case 'tool':
      return tools.filter((tool) => tool.name === choice.name).slice(0, 1);
    case 'required': {
      const named = tools.filter((tool) => prompt.includes(tool.name));
      return named.length > 0 ? named : tools.slice(0, 1);
    }
    case 'auto':
      return isToolResult ? [] : tools.filter((tool) => prompt.includes(tool.name));
  }
}

/** Writes the arguments of a call: the smallest instance of the tool's parameters, as JSON. */
export function writeArguments(tool: CallableTool): string {
  return tool.parameters === undefined ? '{}' : JSON.stringify(buildInstance(tool.parameters) ?? {});
}
