import { expect, test } from 'vitest';
import { runCommandLine } from '../../src/cli/program.ts';
import { createTestShell, run } from './test-shell.ts';

test('simulate answers until Ctrl-C, with the faults it was told, and ends with 0', async () => {
  const started = Promise.withResolvers<void>();
  const shell = createTestShell({ onOutput: () => started.resolve() });
  const words = ['simulate', '--port', '0', '--latency', '0', '--script', '503,ok', '--json'];
  const running = runCommandLine(words, shell);
  await started.promise;
  const { url } = JSON.parse(shell.out()) as { url: string }; // What `--json` promises.
  const ask = async (): Promise<number> => {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer any' },
      body: JSON.stringify({ model: 'gpt-4.1', messages: [{ role: 'user', content: 'Hi' }] }),
    });
    await response.arrayBuffer();
    return response.status;
  };
  expect([await ask(), await ask()]).toEqual([503, 200]);
  shell.pressControlC();
  expect(await running).toBe(0);
  await expect(ask()).rejects.toThrow('fetch failed');
});

test('simulate tells people the base URLs of both wires', async () => {
  const shell = createTestShell({ onOutput: () => setImmediate(() => shell.pressControlC()) });
  expect(await runCommandLine(['simulate', '--port', '0'], shell)).toBe(0);
  expect(shell.out()).toMatch(/OpenAI base URL +http:\/\/127\.0\.0\.1:\d+\/v1/);
});

test.each([['0.0.0.0'], ['::']])('simulate --host %s warns that others can reach it and its controls', async (host) => {
  for (const json of [[], ['--json']]) {
    const shell = createTestShell({ onOutput: () => setImmediate(() => shell.pressControlC()) });
    expect(await runCommandLine(['simulate', '--port', '0', '--host', host, ...json], shell)).toBe(0);
    expect(shell.err()).toBe(
      `switchgear: everybody who reaches ${host} can use this simulator, read what it was asked and switch its faults\n`,
    );
  }
});

test.each([['127.0.0.1'], ['localhost']])(
  'simulate --host %s, which only this machine reaches, warns of nothing',
  async (host) => {
    const shell = createTestShell({ onOutput: () => setImmediate(() => shell.pressControlC()) });
    expect(await runCommandLine(['simulate', '--port', '0', '--host', host], shell)).toBe(0);
    expect(shell.err()).toBe('');
  },
);

test.each([
  ['--outage', 'soon:503'],
  ['--failure-rate', 'often'],
  ['--latency', 'slow'],
  ['--fault', 'nonsense'],
  ['--port', '99999'],
])('simulate %s %s is a usage error', async (flag, value) => {
  const { code, out, err } = await run(['simulate', flag, value]);
  expect({ code, out }).toEqual({ code: 64, out: '' });
  expect(err).toMatch(/^switchgear: expected /);
});

test('simulate on a taken port ends with 69', async () => {
  const first = createTestShell({ onOutput: (text) => started.resolve((JSON.parse(text) as { port: number }).port) });
  const started = Promise.withResolvers<number>();
  const running = runCommandLine(['simulate', '--port', '0', '--json'], first);
  const { code, err } = await run(['simulate', '--port', `${await started.promise}`]);
  expect(code).toBe(69);
  expect(err).toMatch(/^switchgear: expected /);
  first.pressControlC();
  await running;
});
