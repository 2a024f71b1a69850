/**
 * Makes test/otp/traces.jsonl anew: draws the scripts, has the real supervisor play them (see recorder.erl for what must be
 * installed) and keeps each script beside its trace. Run by hand, by `npm run otp:record`; the same seed gives the same file.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toErlang } from './erlang-terms.ts';
import { generateScripts } from './generate.ts';
import { comparableOutcomes } from './recordings.ts';
import type { Outcome, RecordedScript, RecordingHead, Script, Step } from './script.ts';

const SEED = 'otp-2';
const RUN_TIMEOUT_MS = 600_000;

interface TraceStep extends Outcome {
  /** Which alternative was played; -1: none could be. */
  readonly chosen: number;
}

interface Trace {
  readonly name: string;
  /** The boot first. Fewer than the script's when the tree ended before them. */
  readonly steps: readonly TraceStep[];
}

const scripts = generateScripts(SEED);
const folder = mkdtempSync(join(tmpdir(), 'otp-record-'));
try {
  const [head, ...traces] = runOtp(folder, scripts);
  // The recorder writes one such line before all others.
  const { otp, stdlib } = head as Pick<RecordingHead, 'otp' | 'stdlib'>;
  const lines = [
    JSON.stringify({ otp, stdlib, seed: SEED, scripts: scripts.length } satisfies RecordingHead),
    // All further lines are traces, in the order of the scripts.
    ...scripts.map((script, index) => JSON.stringify(recordedScript(script, traces[index] as Trace))),
  ];
  writeFileSync(join(import.meta.dirname, 'traces.jsonl'), `${lines.join('\n')}\n`);
  console.log(`${scripts.length} scripts played on OTP ${otp} (stdlib ${stdlib})`);
} finally {
  rmSync(folder, { recursive: true });
}

function runOtp(directory: string, played: readonly Script[]): readonly unknown[] {
  const input = join(directory, 'scripts.terms');
  const output = join(directory, 'traces.jsonl');
  writeFileSync(input, played.map((script) => `${toErlang(script)}.\n`).join(''));
  execFileSync('erlc', ['-o', directory, join(import.meta.dirname, 'recorder.erl')], { stdio: 'inherit' });
  const call = `recorder:main(["${input}", "${output}"]).`;
  const options = ['+S', '1:1', '-noinput', '-pa', directory, '-eval', call];
  execFileSync('erl', options, {
    stdio: 'inherit',
    timeout: RUN_TIMEOUT_MS,
    env: { ...process.env, ERL_CRASH_DUMP_BYTES: '0' },
  });
  return readFileSync(output, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
}

function recordedScript(script: Script, trace: Trace): RecordedScript {
  if (trace.name !== script.name) throw new TypeError(`expected the trace of ${script.name}, got: ${trace.name}`);
  const [boot, ...played] = trace.steps;
  if (boot === undefined) throw new TypeError(`expected ${script.name} to have booted, got: nothing`);
  const steps = played.flatMap((outcome, index) => {
    const step: Step | undefined = script.steps[index]?.[outcome.chosen];
    return step === undefined ? [] : [{ step, ...outcomeOf(outcome) }];
  });
  return ordered({ name: script.name, root: script.root, boot: outcomeOf(boot), steps });
}

/** Events that OTP gives no order are kept in the order of the alphabet, so that each recording is the same. */
function ordered(script: RecordedScript): RecordedScript {
  const [boot, ...steps] = comparableOutcomes(script, [script.boot, ...script.steps]);
  return {
    ...script,
    boot: { ...script.boot, ...eventsOf(boot) },
    steps: script.steps.map((step, index) => ({ ...step, ...eventsOf(steps[index]) })),
  };
}

function eventsOf({ events = [] }: Outcome = {}): Pick<Outcome, 'events'> {
  return events.length === 0 ? {} : { events };
}

function outcomeOf({ chosen: _, answer, ...outcome }: TraceStep): Outcome {
  return answer === undefined || answer === 'ok' ? outcome : { answer, ...outcome };
}
