/**
 * `switchgear simulate`: the simulator as a command. Flags are the options of the library in the words of a shell; the
 * text printed is what somebody needs who wants to point a client at it.
 */
import { SwitchgearError } from '../contract/errors.ts';
import type { Clock } from '../contract/clock.ts';
import { listFaults } from './faults.ts';
import { parseStart, type SimulatorOptions } from './options.ts';
import type { Distribution } from './random.ts';
import { createSimulator, type Simulator } from './server.ts';

/** The flags as they were typed; those that may come more than once are lists. */
export interface SimulateFlags {
  /** `4142`; 0 takes any free port. Default 4142. */
  readonly port?: string | undefined;
  /** Default 127.0.0.1. */
  readonly host?: string | undefined;
  readonly name?: string | undefined;
  readonly seed?: string | undefined;
  /** `300`, `200-400` (uniform) or `300~0.5` (lognormal: median and sigma), in ms. Default 300. */
  readonly latency?: string | undefined;
  /** Default 80. */
  readonly tokensPerSecond?: string | undefined;
  /** Default 60. */
  readonly outputTokens?: string | undefined;
  readonly model?: readonly string[] | undefined;
  readonly key?: readonly string[] | undefined;
  /** `10s-40s:503`: from, to and fault; durations end in ms, s, m or h. */
  readonly outage?: readonly string[] | undefined;
  /** `0.1:500`: rate and fault. */
  readonly failureRate?: readonly string[] | undefined;
  /** `500,ok,cut-40`. */
  readonly script?: string | undefined;
  /** On from the start. */
  readonly fault?: string | undefined;
}

/** What `runSimulate` starts; its clock comes with the call. */
export type SimulateOptions = Omit<SimulatorOptions, 'clock'>;

export interface SimulateDeps {
  readonly clock: Clock;
  /** Prints a piece of text, line ends included. */
  readonly write: (text: string) => void;
  /** Ends the command when it aborts. */
  readonly signal: AbortSignal;
}

const UNIT_MS: Readonly<Record<string, number>> = { '': 1, ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Parses the flags of the command. @throws {SwitchgearError} `invalid-config`, naming the flag or option */
export function parseSimulateOptions(flags: SimulateFlags): SimulateOptions {
  const options: SimulateOptions = {
    port: readNumber('--port', flags.port ?? '4142'),
    host: flags.host,
    name: flags.name,
    seed: flags.seed === undefined ? undefined : readNumber('--seed', flags.seed),
    latencyMs: readLatency(flags.latency ?? '300'),
    tokensPerSecond: readNumber('--tokens-per-second', flags.tokensPerSecond ?? '80'),
    outputTokens: flags.outputTokens === undefined ? undefined : readNumber('--output-tokens', flags.outputTokens),
    models: flags.model,
    keys: flags.key,
    outages: flags.outage?.map(readOutage),
    failures: flags.failureRate?.map(readFailureRate),
    script: flags.script?.split(',').map((name) => name.trim()),
    fault: flags.fault,
  };
  // Checked here as well, so that a wrong flag is a usage error and not a failed start.
  parseStart(options);
  return options;
}

/** Runs a simulator until the signal aborts. @throws {SwitchgearError} `invalid-config` when the port is taken */
export async function runSimulate(options: SimulateOptions, { clock, write, signal }: SimulateDeps): Promise<void> {
  const simulator = await createSimulator({ ...options, clock });
  try {
    write(describeSimulator(simulator));
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
  } finally {
    await simulator.close();
  }
}

/** Writes what somebody needs to know who uses the simulator. */
function describeSimulator({ name, url }: Pick<Simulator, 'name' | 'url'>): string {
  const faults = listFaults();
  const width = Math.max(...faults.map(({ form }) => form.length));
  return [
    `${name} listens on ${url}`,
    '',
    `  OpenAI base URL      ${url}/v1`,
    `  Anthropic base URL   ${url}`,
    `  requests so far      curl ${url}/control/log`,
    `  switch a fault on    curl -X POST ${url}/control -H 'content-type: application/json' -d '{"fault":"fail-503","forMs":30000}'`,
    '',
    'A model with one of these names misbehaves; every other model answers. The same names work in --outage, --failure-rate,',
    '--script and --fault. N counts tokens, MS is a duration, what stands in brackets may be left out:',
    '',
    ...faults.map(({ form, does }) => `  ${form.padEnd(width)}  ${does}`),
    '',
  ].join('\n');
}

function readNumber(flag: string, text: string): number {
  const number = Number(text);
  if (text.trim() === '' || !Number.isFinite(number)) throw refuse(flag, 'a number', text);
  return number;
}

function readLatency(text: string): Distribution {
  const [, first = '', separator = '', second = ''] = /^([\d.]+)(?:([-~])([\d.]+))?$/u.exec(text) ?? [];
  const number = Number(first);
  const other = Number(second);
  if (first === '' || !Number.isFinite(number) || !Number.isFinite(other)) {
    throw refuse('--latency', 'ms (300), a range (200-400) or median~sigma (300~0.5)', text);
  }
  if (separator === '-') return { kind: 'uniform', minMs: number, maxMs: other };
  if (separator === '~') return { kind: 'lognormal', medianMs: number, sigma: other };
  return { kind: 'constant', ms: number };
}

function readOutage(text: string): { fromMs: number; toMs: number; fault: string } {
  const [, from = '', to = '', fault = ''] = /^([^-:]+)-([^-:]+):(.+)$/u.exec(text) ?? [];
  const fromMs = readDuration(from);
  const toMs = readDuration(to);
  if (fromMs === undefined || toMs === undefined)
    throw refuse('--outage', 'from-to:fault, for example 10s-40s:503', text);
  return { fromMs, toMs, fault };
}

function readFailureRate(text: string): { rate: number; fault: string } {
  const [, rate = '', fault = ''] = /^([\d.]+):(.+)$/u.exec(text) ?? [];
  if (rate === '' || !Number.isFinite(Number(rate)))
    throw refuse('--failure-rate', 'rate:fault, for example 0.1:500', text);
  return { rate: Number(rate), fault };
}

function readDuration(text: string): number | undefined {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/u.exec(text.trim()) ?? [];
  return number === undefined ? undefined : Number(number) * (UNIT_MS[unit] ?? 1);
}

function refuse(flag: string, what: string, got: string): SwitchgearError {
  return new SwitchgearError('invalid-config', `expected ${flag} to be ${what}, got: ${got}`, { param: flag });
}
