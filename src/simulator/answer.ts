/**
 * The simulator's answers follow a fixed rule, so that a test can tell whose answer it has and that it is whole. A text
 * has exactly N words, white space included in the word after it: the simulator's name, then the words of the last
 * message again and again, then `[end]`; fewer when the request allows fewer tokens, and then without its end. A word is a
 * token, and usage counts words.
 */
import { splitPieces } from '../adapters/mock/pieces.ts';
import { buildInstance } from '../adapters/mock/schema-instance.ts';
import { chooseTools, writeArguments } from '../adapters/mock/tool-rule.ts';
import type { Answer, AnsweredCall, Question } from './wire.ts';

/** Longest word that is echoed, in characters. */
const wordLengthMax = 24;
/** Words of a prompt that are echoed before they start again. */
const promptWordsMax = 1_000;
/** Last word of a whole text. */
const lastWord = '[end]';

export interface AnswerQuestion {
  readonly question: Question;
  /** Name of the simulator. */
  readonly source: string;
  readonly number: number;
  readonly createdSeconds: number;
  /** Words of a text that nothing shortens. */
  readonly outputTokens: number;
}

/** Answers one question. */
export function buildAnswer({ question, source, number, createdSeconds, outputTokens }: AnswerQuestion): Answer {
  const base = { number, model: question.model, source, createdSeconds, choices: question.choices };
  const tools = chooseTools({
    tools: question.tools,
    choice: question.toolChoice,
    prompt: question.prompt,
    isToolResult: question.isToolResult,
  });
  if (tools.length > 0) {
    const calls = tools.map((tool, index): AnsweredCall => ({
      id: `${number}_${index + 1}`,
      name: tool.name,
      tokens: splitText(writeArguments(tool)),
    }));
    const used = calls.reduce((sum, call) => sum + call.tokens.length, 0);
    return {
      ...base,
      tokens: [],
      calls,
      finish: 'tool-calls',
      usage: { inputTokens: question.inputTokens, outputTokens: used },
    };
  }
  const whole =
    question.json === undefined ? writeWords(source, question.prompt, outputTokens) : writeJson(source, question);
  const tokens = whole.slice(0, question.maxTokens);
  return {
    ...base,
    tokens,
    calls: [],
    finish: tokens.length < whole.length ? 'length' : 'stop',
    usage: { inputTokens: question.inputTokens, outputTokens: tokens.length * question.choices },
  };
}

/** Writes the text of `count` words that the simulator `source` answers `prompt` with. */
export function writeWords(source: string, prompt: string, count: number): readonly string[] {
  const words = listWords(prompt);
  return Array.from({ length: count }, (_word, index) => {
    if (index === 0) return source;
    if (index === count - 1) return ` ${lastWord}`;
    return ` ${words[(index - 1) % words.length] ?? ''}`;
  });
}

/** Counts the words of a text. */
export function countWords(text: string): number {
  let count = 0;
  for (const _word of text.matchAll(/\S+/gu)) count += 1;
  return count;
}

function listWords(prompt: string): readonly string[] {
  const words: string[] = [];
  for (const [word] of prompt.matchAll(/\S+/gu)) {
    if (words.length === promptWordsMax) break;
    words.push([...word.slice(0, 2 * wordLengthMax)].slice(0, wordLengthMax).join(''));
  }
  return words.length === 0 ? ['nothing'] : words;
}

function writeJson(source: string, question: Question): readonly string[] {
  const value =
    question.json?.schema === undefined
      ? { simulator: source, echo: question.prompt.slice(0, promptWordsMax) }
      : buildInstance(question.json.schema);
  return splitText(JSON.stringify(value));
}

/** JSON in tokens of at most 12 characters, so that a cut falls inside it. */
function splitText(text: string): readonly string[] {
  return splitPieces(text).flatMap((piece) => piece.match(/.{1,12}/gsu) ?? []);
}
