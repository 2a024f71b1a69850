/** Judges a source tree by the table of who may import whom. */
import { CLOCK_EXCEPTIONS, LINES_MAX, type Row } from './architecture.ts';
import { clockUses } from './clock-uses.ts';
import { childrenOf, resolveSpecifier, type SourceFile, type SourceImport, type SyntaxNode } from './source-tree.ts';

/** The row a file belongs to: the one with the longest path. */
export function rowOf(path: string, rows: readonly Row[]): Row | undefined {
  return rows
    .filter((row) => (row.path.endsWith('/') ? path.startsWith(row.path) : path === row.path))
    .toSorted((left, right) => right.path.length - left.path.length)[0];
}

/** Every import that the table does not allow, and every file without a row. */
export function boundaryViolations(files: readonly SourceFile[], rows: readonly Row[]): readonly string[] {
  const paths = new Set(files.map((file) => file.path));
  return files.flatMap((file) => {
    const row = rowOf(file.path, rows);
    if (row === undefined) return [`${file.path} belongs to no row: give its folder one, with a reason`];
    return file.imports.flatMap((source) => {
      const complaint = source.specifier.startsWith('.')
        ? complainOfFile(resolveSpecifier(file.path, source.specifier), { row, rows, paths })
        : complainOfPackage(source.specifier, row);
      return complaint === undefined ? [] : [`${file.path}:${source.line} imports ${source.specifier}: ${complaint}`];
    });
  });
}

interface Table {
  readonly row: Row;
  readonly rows: readonly Row[];
  readonly paths: ReadonlySet<string>;
}

function complainOfFile(target: string, { row, rows, paths }: Table): string | undefined {
  if (target.startsWith('../')) return 'src must not reach outside itself';
  if (!paths.has(target)) return `expected a file with its .ts extension, got no such file: ${target}`;
  const targetRow = rowOf(target, rows);
  // A file without a row is complained of by itself.
  if (targetRow === undefined || targetRow === row || row.rows.includes(targetRow.name)) return undefined;
  return `${row.name} must not know ${targetRow.name}, because ${row.reason}`;
}

function complainOfPackage(specifier: string, row: Row): string | undefined {
  if (specifier.startsWith('node:')) {
    const isAllowed = row.builtins === 'any' || row.builtins.includes(specifier);
    return isAllowed ? undefined : `${row.name} must not use this part of Node, because ${row.reason}`;
  }
  return row.packages.includes(packageOf(specifier))
    ? undefined
    : `${row.name} must not use this package, because ${row.reason}`;
}

/** `@scope/name/sub/path` → `@scope/name`. */
export function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

/** Rings of files that need each other to run; each is named once, starting at its first file. */
export function importCycles(files: readonly SourceFile[]): readonly string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const cycles = new Set<string>();
  const finished = new Set<string>();
  const visit = (file: SourceFile, trail: readonly string[]): void => {
    const start = trail.indexOf(file.path);
    if (start >= 0) cycles.add(renderCycle(trail.slice(start)));
    if (start >= 0 || finished.has(file.path)) return;
    for (const target of targetsOf(file)) {
      const next = byPath.get(target);
      if (next !== undefined) visit(next, [...trail, file.path]);
    }
    finished.add(file.path);
  };
  for (const file of files) visit(file, []);
  return [...cycles];
}

function targetsOf(file: SourceFile): readonly string[] {
  return file.imports
    .filter((source: SourceImport) => !source.isTypeOnly && source.specifier.startsWith('.'))
    .map((source) => resolveSpecifier(file.path, source.specifier));
}

function renderCycle(ring: readonly string[]): string {
  const first = ring.toSorted()[0] ?? '';
  const start = ring.indexOf(first);
  return [...ring.slice(start), ...ring.slice(0, start), first].join(' → ');
}

const FUNCTIONS = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression']);

/** Places where a module waits while it loads, which would make `require()` of the package impossible. */
export function topLevelAwaits(file: SourceFile): readonly string[] {
  const found: string[] = [];
  const visit = (node: SyntaxNode): void => {
    if (FUNCTIONS.has(node.type)) return;
    const isWaiting =
      node.type === 'AwaitExpression' || node['await'] === true || String(node['kind']).startsWith('await');
    if (isWaiting) found.push(`${file.path}:${file.lineOf(node)} waits at the top level`);
    childrenOf(node).forEach(visit);
  };
  visit(file.program);
  return found;
}

/** Files longer than they may be. */
export function longFiles(files: readonly SourceFile[], linesMax: number = LINES_MAX): readonly string[] {
  return files
    .filter((file) => file.lineCount > linesMax)
    .map((file) => `${file.path} has ${file.lineCount} lines, expected at most ${linesMax}`);
}

/** Uses of time, timers and chance outside the files that may use them. */
export function clockViolations(files: readonly SourceFile[]): readonly string[] {
  return files
    .filter((file) => !CLOCK_EXCEPTIONS.some(({ path }) => file.path.startsWith(path)))
    .flatMap((file) =>
      clockUses(file).map(({ name, line }) => `${file.path}:${line} uses ${name}: take it from the Clock`),
    );
}
