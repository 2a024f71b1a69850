/**
 * Looks at the package as its users get it: packs it, lints the tarball, and from an install that offers nothing but the
 * declared dependencies compiles against every export and loads it, by `import` and by `require`. Needs a build and no
 * network.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, posix } from 'node:path';

interface Manifest {
  readonly name: string;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly bin: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
}

/** Files that belong to the repository and not to the package. */
const FOREIGN = /(^|\/)(test|src|bench|node_modules|\.env[^/]*|[^/]*\.db)(\/|$)/u;

const COMPILER_OPTIONS = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2024', '--lib', 'esnext,dom'];

// True: the manifest of this repository has these fields; publint checks their values below.
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest;
const folder = mkdtempSync(join(tmpdir(), 'check-package-'));
try {
  const tarball = pack(folder);
  run('publint', ['run', tarball, '--strict']);
  run('attw', [tarball, '--profile', 'esm-only', '--no-definitely-typed']);
  const consumer = installTarball(tarball, folder);
  const specifiers = Object.keys(manifest.exports)
    .filter((path) => !path.endsWith('.json'))
    .map((path) => posix.join(manifest.name, path));
  compileAgainst(specifiers, consumer);
  for (const specifier of specifiers) load(specifier, consumer);
  runCommands(consumer);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function pack(destination: string): string {
  const output = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', destination], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  // True: this is the shape of `npm pack --json`; npm prints one entry per package.
  const [packed] = JSON.parse(output) as [{ filename: string; files: { path: string }[]; size: number }];
  const foreign = packed.files.map((file) => file.path).filter((path) => FOREIGN.test(path));
  if (foreign.length > 0) throw new Error(`expected the package to hold only what it runs, got: ${foreign.join(', ')}`);
  console.log(`packed ${packed.files.length} files, ${Math.ceil(packed.size / 1024)} kB`);
  return join(destination, packed.filename);
}

function run(command: string, commandArguments: readonly string[]): void {
  execFileSync(join('node_modules', '.bin', command), commandArguments, { stdio: ['ignore', 'inherit', 'inherit'] });
}

/** Lays the tarball out as an install would; a package that is imported without being declared is not found there. */
function installTarball(tarball: string, destination: string): string {
  const modules = join(destination, 'consumer', 'node_modules');
  const home = join(modules, manifest.name);
  mkdirSync(home, { recursive: true });
  execFileSync('tar', ['-xzf', tarball, '-C', home, '--strip-components', '1']);
  for (const name of Object.keys(manifest.dependencies)) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(process.cwd(), 'node_modules', name), join(modules, name), 'junction');
  }
  return join(destination, 'consumer');
}

/** Checks our declarations as a program that uses them does; mistakes in those of other packages are not ours. */
function compileAgainst(specifiers: readonly string[], consumer: string): void {
  const imports = specifiers.map(
    (specifier, index) => `import * as api${index} from '${specifier}'; void api${index};`,
  );
  writeFileSync(join(consumer, 'consumer.mts'), imports.join('\n'));
  const compiler = join(process.cwd(), 'node_modules', '.bin', 'tsc');
  const types = ['--typeRoots', join(process.cwd(), 'node_modules', '@types'), '--types', 'node'];
  const result = spawnSync(compiler, [...COMPILER_OPTIONS, ...types, 'consumer.mts'], {
    cwd: consumer,
    encoding: 'utf8',
  });
  const ours = `${result.stdout}${result.stderr}`
    .split('\n')
    .filter(
      (line) =>
        line.includes('error TS') && (line.startsWith(`node_modules/${manifest.name}/`) || line.startsWith('consumer')),
    );
  if (result.error !== undefined) throw result.error;
  if (ours.length > 0) throw new Error(`expected the declarations to compile for a user, got:\n${ours.join('\n')}`);
  console.log(`the declarations of ${specifiers.join(', ')} compile`);
}

function load(specifier: string, consumer: string): void {
  const check = `if (Object.keys(loaded).length === 0) throw new Error('expected ${specifier} to export something');`;
  for (const script of [
    `import('${specifier}').then((loaded) => { ${check} });`,
    `const loaded = require('${specifier}'); ${check}`,
  ]) {
    execFileSync(process.execPath, ['-e', script], { cwd: consumer, stdio: ['ignore', 'inherit', 'inherit'] });
  }
  console.log(`${specifier} loads by import and by require`);
}

function runCommands(consumer: string): void {
  for (const [name, file] of Object.entries(manifest.bin)) {
    const command = join(consumer, 'node_modules', manifest.name, file);
    const version = execFileSync(process.execPath, [command, '--version'], { encoding: 'utf8' }).trim();
    console.log(`${name} --version says ${version}`);
  }
}
