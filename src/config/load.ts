/**
 * Reads a config from a file. YAML and JSON share one parser, which knows the line and column of what it refuses and
 * finds a name that is written twice. Its own messages quote the text around a mistake; ours do not, it may be a key.
 */
import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

import { LineCounter, parseDocument, type YAMLError } from 'yaml';

import type { ConfigProblem } from '../contract/config.ts';
import type { ConfigSource } from './input.ts';
import { isPlainObject } from './interpolate.ts';
import { invalidConfig } from './problems.ts';
import { resolveConfig, type ConfigContext, type ConfigResolution } from './resolve.ts';

const configFileBytesMax = 4_194_304;

/**
 * Reads what `startService` was given without judging it, so that a change can be applied to it as it was written.
 * `name` is the file's path.
 * @throws {SwitchgearError} `invalid-config` when it cannot be read or is no YAML
 */
export async function readConfigTree(
  source: ConfigSource,
): Promise<{ readonly tree: unknown; readonly name: string | undefined }> {
  // A program in JavaScript may pass anything.
  if (!isPlainObject(source) || !('configFile' in source)) return { tree: source, name: undefined };
  const others = Object.keys(source).filter((key) => key !== 'configFile');
  if (typeof source.configFile !== 'string' || others.length > 0) {
    const found = others.length > 0 ? `${others.join(', ')} beside it` : typeof source.configFile;
    throw invalidConfig('the config', [
      { path: 'configFile', message: `expected a path and nothing else, got: ${found}` },
    ]);
  }
  return { tree: parseConfigText(await readConfigFile(source.configFile), source.configFile), name: source.configFile };
}

/**
 * Loads a config file, YAML or JSON.
 * @throws {SwitchgearError} `invalid-config` when it cannot be read, is no YAML, or holds mistakes
 */
export async function loadConfigFile(path: string, context: ConfigContext): Promise<ConfigResolution> {
  const text = await readConfigFile(path);
  return resolveConfig(parseConfigText(text, path), { folder: dirname(path), ...context, source: path });
}

/**
 * Parses the text of a config file.
 * @throws {SwitchgearError} `invalid-config` with the line and column of every syntax error
 */
export function parseConfigText(text: string, path: string): unknown {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false, logLevel: 'silent' });
  const problems = [...document.errors, ...document.warnings].map((error) =>
    syntaxProblem(error, { text, path, lineCounter }),
  );
  if (problems.length > 0) throw invalidConfig(path, problems);
  try {
    // An empty file is an empty config: what it lacks is told by name.
    return document.toJS({ maxAliasCount: 100 }) ?? {};
  } catch (error) {
    throw invalidConfig(path, [
      {
        path,
        message: `expected few aliases, got: ${error instanceof Error ? error.name : 'an error'} while expanding them`,
      },
    ]);
  }
}

async function readConfigFile(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > configFileBytesMax)
      throw invalidConfig(path, [{ path: '', message: `expected at most ${configFileBytesMax} bytes, got: ${size}` }]);
    return await readFile(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    const found = typeof code === 'string' ? READ_ERRORS[code] : undefined;
    if (code === 'invalid-config') throw error;
    throw invalidConfig(path, [
      { path: '', message: `expected a readable file, got: ${found ?? String(code ?? error)}` },
    ]);
  }
}

const READ_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'a file this process may not read',
  EISDIR: 'a directory',
  ENOTDIR: 'a path through something that is no directory',
};

interface SyntaxContext {
  readonly text: string;
  readonly path: string;
  readonly lineCounter: LineCounter;
}

function syntaxProblem(error: YAMLError, { text, path, lineCounter }: SyntaxContext): ConfigProblem {
  const [offset] = error.pos;
  const { line, col } = lineCounter.linePos(offset);
  return { path: `${path}:${line}:${col}`, message: syntaxMessage(error, text.slice(offset)) };
}

function syntaxMessage(error: YAMLError, rest: string): string {
  if (error.code === 'DUPLICATE_KEY') {
    const name = /^["']?([A-Za-z0-9._-]{1,64})["']?\s*:/.exec(rest)?.[1];
    return `expected every name once, got: ${name === undefined ? 'the same name' : `"${name}"`} again`;
  }
  return `expected valid YAML, got: ${SYNTAX_ERRORS[error.code] ?? 'something else'} (${error.code})`;
}

/** The parser's commonest complaints in words of ours. */
const SYNTAX_ERRORS: Readonly<Record<string, string>> = {
  ALIAS_PROPS: 'an alias with an anchor or tag',
  BAD_ALIAS: 'an alias without an anchor, or a value that begins with * (put it in quotes)',
  BAD_COLLECTION_TYPE: 'a tag that does not fit what it stands before',
  BAD_DIRECTIVE: 'a directive, or a value that begins with % (put it in quotes)',
  BAD_DQ_ESCAPE: 'an unknown escape in double quotes (use single quotes)',
  BAD_INDENT: 'an indentation that fits nothing above it',
  BAD_SCALAR_START: 'a value that begins with a reserved character (put it in quotes)',
  BLOCK_AS_IMPLICIT_KEY: 'a second colon in one line (put the value in quotes)',
  BLOCK_IN_FLOW: 'an indented block inside brackets',
  KEY_OVER_1024_CHARS: 'a name of more than 1024 characters',
  MISSING_CHAR: 'an unclosed quote or bracket, or a missing colon or comma',
  MULTILINE_IMPLICIT_KEY: 'a name over several lines, or a line without a colon',
  MULTIPLE_DOCS: 'several documents in one file',
  TAB_AS_INDENT: 'a tab as indentation (use spaces)',
  TAG_RESOLVE_FAILED: 'an unknown tag, or a value that begins with ! (put it in quotes)',
  UNEXPECTED_TOKEN: 'something that cannot stand here',
};
