/**
 * Reads the sources as syntax trees, so that rules about them are checked on what the code says and not on what its text
 * looks like. The parser is the one that vitest brings along.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix, sep } from 'node:path';
import { parseAst } from 'vitest/node';

/** A node of a syntax tree; every other property depends on its type. */
export interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly [property: string]: unknown;
}

export interface SourceImport {
  /** As written: `../contract/clock.ts`, `node:fs`, `openai/streaming`. */
  readonly specifier: string;
  /** Imported names of a static import; undefined when all of them are (`import *`, `import()`, `export *`). */
  readonly names: readonly string[] | undefined;
  /** Erased by the compiler: it couples the texts, not the running modules. */
  readonly isTypeOnly: boolean;
  readonly line: number;
}

export interface SourceFile {
  /** Relative to the root of the tree, with forward slashes: `policy/rank.ts`. */
  readonly path: string;
  readonly lineCount: number;
  readonly imports: readonly SourceImport[];
  readonly program: SyntaxNode;
  lineOf(node: SyntaxNode): number;
}

/** Reads every TypeScript file below a folder. */
export function readSourceTree(root: string): readonly SourceFile[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.split(sep).join('/'))
    .toSorted()
    .map((path) => parseSource(path, readFileSync(join(root, path), 'utf8')));
}

/** Parses one source text. */
export function parseSource(path: string, text: string): SourceFile {
  // True: every ESTree program is a node with a type and a start.
  const program = parseAst(text, { lang: 'ts' }, path) as unknown as SyntaxNode;
  const lineOf = (node: SyntaxNode): number => text.slice(0, node.start).split('\n').length;
  return { path, lineCount: text.trimEnd().split('\n').length, imports: importsOf(program, lineOf), program, lineOf };
}

/** The file that a relative specifier means, seen from another file of the same tree. */
export function resolveSpecifier(from: string, specifier: string): string {
  return posix.normalize(posix.join(posix.dirname(from), specifier));
}

/** Child nodes, in the order of the text. */
export function childrenOf(node: SyntaxNode): readonly SyntaxNode[] {
  return Object.values(node)
    .flatMap((value): readonly unknown[] => (Array.isArray(value) ? value : [value]))
    .filter(isSyntaxNode);
}

/** Says whether a value is a node. */
export function isSyntaxNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}

function importsOf(program: SyntaxNode, lineOf: SourceFile['lineOf']): readonly SourceImport[] {
  const found: SourceImport[] = [];
  const visit = (node: SyntaxNode): void => {
    const specifier = specifierOf(node);
    if (specifier !== undefined) {
      found.push({ specifier, names: namesOf(node), isTypeOnly: isErased(node), line: lineOf(node) });
    }
    childrenOf(node).forEach(visit);
  };
  visit(program);
  return found;
}

/** `import … from`, `export … from`, `import()`, `import x = require()` and `import('…').Type`. */
function specifierOf(node: SyntaxNode): string | undefined {
  switch (node.type) {
    case 'ImportDeclaration':
    case 'ExportNamedDeclaration':
    case 'ExportAllDeclaration':
    case 'ImportExpression':
    case 'TSImportType':
      return literalOf(node['source']);
    case 'TSExternalModuleReference':
      return literalOf(node['expression']);
    default:
      return undefined;
  }
}

/** A dynamic import of a computed name cannot be judged; its name here belongs to no package and to no file. */
function literalOf(source: unknown): string | undefined {
  if (!isSyntaxNode(source)) return undefined;
  return typeof source['value'] === 'string' ? source['value'] : '(computed)';
}

function namesOf(node: SyntaxNode): readonly string[] | undefined {
  const specifiers = node['specifiers'];
  if (!Array.isArray(specifiers)) return undefined;
  const names = specifiers.filter(isSyntaxNode).map((specifier) => {
    const name = specifier.type === 'ExportSpecifier' ? specifier['local'] : specifier['imported'];
    return isSyntaxNode(name) && typeof name['name'] === 'string' ? name['name'] : undefined;
  });
  return names.every((name) => name !== undefined) ? names : undefined;
}

/** `import { type A }` stays as `import {}` under verbatimModuleSyntax, so only whole declarations are erased. */
function isErased(node: SyntaxNode): boolean {
  return node.type === 'TSImportType' || node['importKind'] === 'type' || node['exportKind'] === 'type';
}
