/** Finds where a source reads time, sets timers or draws chance by itself instead of asking the `Clock` it was given. */
import { childrenOf, isSyntaxNode, type SourceFile, type SyntaxNode } from './source-tree.ts';

export interface ClockUse {
  readonly name: string;
  readonly line: number;
}

const GLOBALS = new Set(['setTimeout', 'setInterval', 'setImmediate', 'performance']);

const MEMBERS = new Set([
  'Date.now',
  'Math.random',
  'AbortSignal.timeout',
  'crypto.randomUUID',
  'crypto.getRandomValues',
  'process.hrtime',
  'process.uptime',
  'globalThis.setTimeout',
  'globalThis.setInterval',
  'globalThis.setImmediate',
  'globalThis.performance',
  'globalThis.crypto',
]);

/** Per module, the names that may still be imported; everything else of it is a use. */
const MODULES: Readonly<Record<string, readonly string[]>> = {
  'node:timers': [],
  'node:timers/promises': [],
  'node:perf_hooks': [],
  'node:crypto': ['createHash', 'createHmac', 'hash', 'timingSafeEqual'],
  nanoid: ['customRandom', 'urlAlphabet'],
};

/** Expression wrappers of TypeScript; every other TypeScript node holds types, which use nothing. */
const WRAPPERS = new Set(['TSAsExpression', 'TSNonNullExpression', 'TSSatisfiesExpression', 'TSTypeAssertion']);

/** Lists every use, in the order of the text. */
export function clockUses(file: SourceFile): readonly ClockUse[] {
  const uses: ClockUse[] = file.imports.flatMap(({ specifier, names, isTypeOnly, line }) => {
    const allowed = MODULES[specifier];
    if (allowed === undefined || isTypeOnly) return [];
    if (names === undefined) return [{ name: `all of ${specifier}`, line }];
    return names.filter((name) => !allowed.includes(name)).map((name) => ({ name: `${name} of ${specifier}`, line }));
  });
  const declared = declaredNames(file.program);
  const visit = (node: SyntaxNode): void => {
    const name = useOf(node);
    if (name !== undefined && !declared.has(name.split('.')[0] ?? '')) uses.push({ name, line: file.lineOf(node) });
    expressionsOf(node).forEach(visit);
  };
  visit(file.program);
  return uses;
}

/** Names that the file gives a meaning of its own, as variables or parameters. */
function declaredNames(program: SyntaxNode): ReadonlySet<string> {
  const names = new Set<string>();
  const bind = (pattern: SyntaxNode): void => {
    if (pattern.type === 'Identifier') names.add(String(pattern['name']));
    // A default value is no binding; a type says nothing about names.
    else
      childrenOf(pattern)
        .filter((child) => child !== pattern['right'] && child !== pattern['key'])
        .forEach(bind);
  };
  const visit = (node: SyntaxNode): void => {
    if (node.type === 'VariableDeclarator' && isSyntaxNode(node['id'])) bind(node['id']);
    if (Array.isArray(node['params'])) node['params'].filter(isSyntaxNode).forEach(bind);
    childrenOf(node).forEach(visit);
  };
  visit(program);
  return names;
}

function useOf(node: SyntaxNode): string | undefined {
  if (node.type === 'Identifier') return GLOBALS.has(String(node['name'])) ? String(node['name']) : undefined;
  if (node.type === 'MemberExpression') {
    const name = `${nameOf(node['object'])}.${nameOf(node['property'])}`;
    return MEMBERS.has(name) ? name : undefined;
  }
  const isDate = nameOf(node['callee']) === 'Date';
  if (node.type === 'CallExpression' && isDate) return 'Date()';
  const isNow = node.type === 'NewExpression' && Array.isArray(node['arguments']) && node['arguments'].length === 0;
  return isDate && isNow ? 'new Date()' : undefined;
}

function nameOf(node: unknown): string {
  if (!isSyntaxNode(node)) return '';
  const name = node['name'] ?? node['value'];
  return typeof name === 'string' ? name : '';
}

/** Children that are evaluated: not names of properties, not imported names, not types. */
function expressionsOf(node: SyntaxNode): readonly SyntaxNode[] {
  if (node.type === 'ImportDeclaration' || (node.type.startsWith('TS') && !WRAPPERS.has(node.type))) return [];
  const isComputed = node['computed'] === true;
  const isMember = node.type === 'MemberExpression';
  return childrenOf(node).filter(
    (child) => isComputed || (child !== node['key'] && !(isMember && child === node['property'])),
  );
}
