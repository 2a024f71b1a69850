/**
 * Writes docs/faults.md from the boards that were kept: `npm run faults -- --save`, `npm run faults:peers -- --save`, then
 * `npm run faults:docs`. A test compares the page with the boards.
 */
import { writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { BEYOND, CATALOGUE } from './catalogue.ts';
import type { Fault, FaultDelivery } from './fault.ts';
import type { Verdict } from './judge.ts';
import { listPaths, namePath, type Path } from './report.ts';
import { type Board, type Cell, loadBoard } from './results.ts';

const MARKS: Readonly<Record<Verdict, string>> = { pass: '●', partial: '◐', fail: '○' };
const DELIVERIES: readonly FaultDelivery[] = ['unstreamed', 'live', 'whole'];
const NONE = '–';
const OURS = new URL('results.json', import.meta.url);
const PEERS = new URL('../peers/results.json', import.meta.url);

/** Loads both boards and renders the page. */
export async function loadDocument(): Promise<string> {
  return renderDocument(await loadBoard(OURS), await loadBoard(PEERS));
}

/** Renders the page. */
export function renderDocument(ours: Board, peers: Board): string {
  const sections = [INTRO, renderOurs(ours), renderPeers(peers), renderNotPassed(ours, peers), RUN, LIMITS];
  return `${sections.join('\n\n')}\n`;
}

const INTRO = `# Sixteen provider faults

Written by \`npm run faults:docs\` from what \`npm run faults\` and \`npm run faults:peers\` measured; do not edit by hand.

A provider that fails is the ordinary case. Each fault is played on real sockets and in real time by two simulated providers,
a primary that misbehaves and a fallback behind it, and judged from both ends: what the caller was told and when, and what
each provider was asked and when. The sixteen are those of the public catalogue
[Failover Bench v0.1](https://github.com/failoverbench/failoverbench), which publishes scores of its own for other systems.
The definitions are data in [bench/faults/catalogue.ts](../bench/faults/catalogue.ts); one pure judge,
[bench/faults/judge.ts](../bench/faults/judge.ts), serves ours and everybody else's.

| mark | verdict |
| --- | --- |
| ${MARKS.pass} | pass: the caller has the complete answer (S13: the refusal) and every rule holds. In \`live\` delivery also: content had reached the caller, and it was told that the answer broke off |
| ${MARKS.partial} | partial: the answer came with bad manners, or a clean error came where an answer was owed |
| ${MARKS.fail} | fail: no end in time, a truncated or garbled answer passed for a whole one, or a rule was broken that must hold |
| ${NONE} | the fault does not exist in this delivery |

\`unstreamed\` is an answer in one piece, \`live\` a stream that flows as it comes, \`whole\` a stream that is held back until it
is complete.`;

function renderOurs(board: Board): string {
  const paths = listPaths(board.cells);
  const faults = [...CATALOGUE, ...BEYOND];
  const rows = faults.map((fault) => [
    fault.id,
    fault.title,
    fault.expected,
    ...paths.map((path) => DELIVERIES.map((delivery) => mark(find(path, fault, delivery))).join(' ')),
  ]);
  const [library] = paths;
  return [
    `## Ours\n\n${describeRun(board)} Each cell shows \`unstreamed\`, \`live\`, \`whole\`. The library and the daemon run on their`,
    'defaults. S11+ is one that the catalogue does not count.\n',
    table(['', 'fault', 'what has to be done', ...paths.map(namePath)], rows),
    '\n### Of sixteen\n\n`unstreamed` has fourteen: the other two are faults of streams alone.\n',
    renderTotals(paths),
    ...(library === undefined ? [] : [`\n### In numbers: ${namePath(library)}\n`, renderNumbers(library)]),
  ].join('\n');
}

function renderTotals(paths: readonly Path[]): string {
  const rows = paths.map((path) => [namePath(path), ...DELIVERIES.map((delivery) => renderTotal(path, delivery))]);
  return table(['', ...DELIVERIES], rows);
}

function renderTotal(path: Path, delivery: FaultDelivery): string {
  const cells = CATALOGUE.flatMap((fault) => find(path, fault, delivery) ?? []);
  if (cells.length === 0) return NONE;
  const count = (verdict: Verdict) => cells.filter((cell) => cell.verdict === verdict).length;
  const rest = (['partial', 'fail'] as const)
    .filter((verdict) => count(verdict) > 0)
    .map((verdict) => `, ${count(verdict)} ${verdict}`);
  return `${count('pass')} of ${cells.length}${rest.join('')}`;
}

function renderNumbers(path: Path): string {
  const rows = [...CATALOGUE, ...BEYOND].map((fault) => [
    fault.id,
    ...DELIVERIES.map((delivery) => {
      const cell = find(path, fault, delivery);
      return cell === undefined ? NONE : `${describeCell(cell)}; ${cell.reason}`;
    }),
  ]);
  return `Verdict, attempts that the primary + the fallback saw, seconds until the end; what came of it.\n\n${table(['', ...DELIVERIES], rows)}`;
}

function renderPeers(board: Board): string {
  const paths = listPaths(board.cells);
  const versions = Object.entries(board.versions).map(([name, version]) => `\`${name}\` ${version}`);
  const settings = Object.entries(board.settings).map(([name, text]) => `- **${name}**: ${text}.`);
  return [
    '## Beside what one would use instead\n',
    `${describeRun(board)} The same faults, simulators and judge, OpenAI wire; ours in the same run. ${versions.join(', ')}.\n`,
    renderTotals(paths),
    ...(['live', 'unstreamed'] as const).map((delivery) => renderSideBySide(paths, delivery)),
    '\n### How each was set up\n',
    'Where a setting exists it has the value of our default, so that nobody wins by waiting less.\n',
    ...settings,
  ].join('\n');
}

function renderSideBySide(paths: readonly Path[], delivery: FaultDelivery): string {
  const rows = [...CATALOGUE, ...BEYOND].map((fault) => [
    fault.id,
    ...paths.map((path) => {
      const cell = find(path, fault, delivery);
      return cell === undefined ? NONE : describeCell(cell);
    }),
  ]);
  const names = paths.map(({ subject }) => subject);
  return `\n### Side by side, ${delivery}\n\n${table(['', ...names], rows)}`;
}

function renderNotPassed(ours: Board, peers: Board): string {
  const own = new Set(ours.cells.map(({ subject }) => subject));
  const cells = [...ours.cells, ...peers.cells.filter(({ subject }) => !own.has(subject))];
  const missed = Map.groupBy(
    cells.filter(({ verdict }) => verdict !== 'pass'),
    ({ subject, wire, fault, verdict, reason }) => JSON.stringify([subject, wire, fault, verdict, reason]),
  );
  const rows = [...missed.values()].flatMap((same) => {
    const [cell] = same;
    const deliveries = same.map(({ delivery }) => delivery).join(', ');
    return cell === undefined
      ? []
      : [[`${MARKS[cell.verdict]} ${cell.fault}`, namePath(cell), deliveries, cell.reason]];
  });
  return `## What did not pass, and why\n\nEverything that is not here passed.\n\n${table(['', 'system', 'delivery', 'reason'], rows)}`;
}

const RUN = `## Run it yourself

\`\`\`sh
npm ci && npm run faults                    # ours: about two minutes; exit code 1 when something falls short
npm run faults -- --only S07,S09            # some of it
npm run faults -- --json                    # as JSON
npm run faults:peers                        # installs the others in bench/peers, then plays them beside ours
\`\`\`

\`-- --save\` keeps a whole board, and \`npm run faults:docs\` writes this page from the boards kept.`;

const LIMITS = `## What this does not show

- The providers are simulated: their answers have the shapes of recorded ones, but no real provider's load, network or
  tokenizer is behind them. The faults are injected at the provider; the network between caller and service is loopback.
- Each cell is one run, 48 of them at a time on one machine. Backoff has jitter, so seconds and the number of attempts differ a little from run to run.
- Where the catalogue leaves a choice the harder reading was taken. S08 and S14 break every attempt at the primary. S10 spoils
  the tenth event itself, so whoever skips it loses a word. In S09 and S10 the request afterwards goes to the same route, whose
  primary has recovered. In S11 the body ends and only the last event is missing, as in the catalogue; S11+ leaves the
  connection open.
- A system without a fallback cannot give the answer that a rule asks for; a clean error of it is \`partial\` here, where the
  catalogue says "safe".
- \`live\` delivery of ours ends with an error when a stream breaks after content has been delivered; so does that of most
  others. Only \`whole\` delivery, which costs the time to the first token, gives an answer then.
- The openai clients are read by \`for await\` until they end or throw, and the AI SDK's streams with their error and abort parts,
  as their documentation shows. Reading only the text of the latter would turn its errors into truncated successes.
- The AI SDK's \`firstChunkMs\` begins to count when the model call has returned its stream; that came too late for S06 and S07.
- The Portkey gateway is the npm package as published, with \`@hono/node-server\` held at 1.14.1: with later versions, which npm
  would choose, it answers every stream with a 500. Its repository patches \`async-retry\` by one word, which the package does not
  bring along; with that patch Retry-After is heeded and S01 passes.
- Gateways that are no npm packages (LiteLLM, Bifrost) are not here; Failover Bench has them.
- What is not a fault of a provider (overload of the service itself, a crash, a full disk) is not here either.`;

function describeRun({ date, node, cores, versions, pauseMsMax }: Board): string {
  const clients = ['openai', '@anthropic-ai/sdk'].map((name) => `\`${name}\` ${versions[name] ?? '?'}`).join(', ');
  return `Played on ${date.slice(0, 10)} with Node ${node}, ${clients}, on ${cores} cores; the measuring process was held up for at most ${pauseMsMax} ms.`;
}

function describeCell(cell: Cell): string {
  return `${MARKS[cell.verdict]} ${cell.primary}+${cell.fallback}, ${cell.seconds.toFixed(1)} s`;
}

function mark(cell: Cell | undefined): string {
  return cell === undefined ? NONE : MARKS[cell.verdict];
}

function find(path: Path, fault: Fault, delivery: FaultDelivery): Cell | undefined {
  return path.cells.find((cell) => cell.fault === fault.id && cell.delivery === delivery);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href)
  await writeFile(new URL('../../docs/faults.md', import.meta.url), await loadDocument());
