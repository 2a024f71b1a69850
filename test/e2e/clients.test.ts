import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { writeWords } from '../../src/simulator/answer.ts';
import { createSimulator, type Simulator } from '../../src/simulator/server.ts';
import { type Daemon, startDaemon, writeConfig } from '../daemon/daemon-process.ts';

const PROGRAM = fileURLToPath(new URL('client-program.ts', import.meta.url));
const PROMPT = 'What keeps the lights on?';
const WORDS = 60;

interface Seen {
  readonly provider: string;
  readonly requestId: string;
  readonly openai: Answer;
  readonly openaiStream: Answer;
  readonly anthropic: Answer;
  readonly anthropicStream: Answer;
  readonly vectors: readonly number[];
  readonly unknown: string;
}

interface Answer {
  readonly text: string;
  readonly finish: string;
  readonly usage: number;
}

/** Runs the user's program and reads what it saw. */
async function runProgram(url: string, model: string): Promise<Seen> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', PROGRAM, url, model]);
  return JSON.parse(stdout);
}

describe('unchanged clients in a process of their own', () => {
  let north: Simulator;
  let south: Simulator;
  let daemon: Daemon;
  let config: Awaited<ReturnType<typeof writeConfig>>;

  beforeAll(async () => {
    const settings = { clock: systemClock, tokensPerSecond: 2_000, outputTokens: WORDS };
    [north, south] = await Promise.all([
      createSimulator({ ...settings, name: 'north' }),
      createSimulator({ ...settings, name: 'south' }),
    ]);
    config = await writeConfig(`
providers:
  north: { adapter: openai, baseURL: '${north.url}/v1', apiKey: canary-north-key, models: [large-1, vectors-1] }
  south: { adapter: anthropic, baseURL: '${south.url}', apiKey: canary-south-key, models: [large-2] }
  spare: { adapter: openai, baseURL: '${south.url}/v1', apiKey: canary-south-key, models: [vectors-2] }
models:
  north-first: [north/large-1, south/large-2]
  south-first: [south/large-2, north/large-1]
  vectors: [north/vectors-1, spare/vectors-2]
`);
    daemon = await startDaemon(config.file);
  });

  afterAll(async () => {
    await daemon[Symbol.asyncDispose]();
    await config[Symbol.asyncDispose]();
    await Promise.all([north.close(), south.close()]);
  });

  const whole = (name: string): readonly string[] => writeWords(name, PROMPT, WORDS);

  test.each([
    ['north-first', 'north'],
    ['south-first', 'south'],
  ])('the OpenAI and the Anthropic client are both answered, streamed or not, by %s', async (model, name) => {
    const seen = await runProgram(daemon.url, model);
    const text = whole(name).join('');
    expect(seen.provider).toBe(name);
    expect(seen.requestId).toMatch(/^req_/);
    expect(seen.openai).toEqual({ text, finish: 'stop', usage: WORDS });
    expect(seen.openaiStream).toEqual({ text, finish: 'stop', usage: WORDS });
    expect(seen.anthropic).toEqual({ text, finish: 'end_turn', usage: WORDS });
    expect(seen.anthropicStream).toEqual({ text, finish: 'end_turn', usage: WORDS });
    expect(seen.vectors).toHaveLength(2);
    expect(seen.unknown).toBe('model_not_found');
  });

  test('when the first provider is down the other answers the same program, and the program does not notice', async () => {
    north.configure({ fault: '503' });
    const seen = await runProgram(daemon.url, 'north-first').finally(() => {
      north.configure({ fault: null });
    });
    const text = whole('south').join('');
    for (const answer of [seen.openai, seen.openaiStream, seen.anthropic, seen.anthropicStream])
      expect(answer.text).toBe(text);
    expect(seen.provider).toBe('south');
  });

  test('no key of a provider is in anything the daemon said or served', async () => {
    const pages = await Promise.all(
      ['tree', 'providers', 'queue', 'costs', 'requests', 'explain?model=north-first'].map(async (page) =>
        (await fetch(`${daemon.url}/admin/${page}`)).text(),
      ),
    );
    const said = [daemon.stdout(), daemon.stderr(), ...pages].join('\n');
    expect(said).toContain('attempt failed');
    expect(said).not.toMatch(/canary-(north|south)-key/);
    expect(north.log().length).toBeGreaterThan(4);
  });
});
