import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { spawnCli, startDaemon, writeConfig } from './daemon-process.ts';

/** Copied, because its store lies beside it. */
const DEFAULT_CONFIG = readFileSync(new URL('../../config/switchgear.yaml', import.meta.url), 'utf8');

/** Answers at once, but takes its time when asked to be slow, and for ever when asked to hang. */
const CONFIG = `
defaults: { model: m }
providers:
  local:
    adapter: mock
    models: [m]
    options:
      rules:
        - { match: slow, step: { delayMs: 1500, text: slowly } }
        - { match: hang, step: { hang: true } }
      default: { text: at once }
`;

async function ask(url: string, prompt: string): Promise<{ status: number; text: string }> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages: [{ role: 'user', content: prompt }] }),
  });
  return { status: response.status, text: await response.text() };
}

/** Waits until the daemon itself says that so many requests are open. */
async function untilOpen(url: string, count: number): Promise<void> {
  for (;;) {
    const response = await fetch(`${url}/admin/queue`);
    const { open } = (await response.json()) as { open: number }; // What the route promises.
    if (open >= count) return;
    await sleep(10);
  }
}

describe.concurrent('a started daemon', () => {
  test('answers a completion with the default config and no key at all', async () => {
    await using config = await writeConfig(DEFAULT_CONFIG);
    await using daemon = await startDaemon(config.file);
    const { status, text } = await ask(daemon.url, 'Hello');
    expect(status).toBe(200);
    expect(text).toContain('mock');
    expect(daemon.stderr()).toBe('');
  });

  test('writes nothing but JSON lines on standard output, and one of them says where it listens', async () => {
    await using config = await writeConfig(CONFIG);
    await using daemon = await startDaemon(config.file);
    await ask(daemon.url, 'Hello');
    const listening = daemon.logLines().filter(({ msg }) => /listening/i.test(msg ?? ''));
    expect(listening).toEqual([
      expect.objectContaining({ actor: 'daemon', url: daemon.url, providers: ['local'], leftOut: [] }),
    ]);
  });

  test('is used by the words of the shell', async () => {
    await using config = await writeConfig(CONFIG);
    await using daemon = await startDaemon(config.file);
    const env = { SWITCHGEAR_URL: daemon.url };
    const say = async (...words: string[]): Promise<string> => {
      await using child = spawnCli(words, env);
      expect({ exit: await child.exit, err: child.stderr() }).toEqual({ exit: { code: 0, signal: null }, err: '' });
      return child.stdout();
    };
    const streamed = ['complete', 'Hello', '--stream', '--model', 'local/m'];
    expect(await Promise.all([say('complete', 'Hello'), say(...streamed)])).toEqual(['at once\n', 'at once\n']);
    const requestId = (await say('submit', 'be slow')).trim();
    expect(await say('result', requestId, '--wait', '20')).toBe('slowly\n');
    expect(await say('result', requestId)).toBe('slowly\n');
    const hanging = (await say('submit', 'hang')).trim();
    expect(await say('cancel', hanging)).toContain('is cancelled');
    const [status, costs, explained] = await Promise.all([say('status'), say('costs'), say('explain')]);
    expect(status).toMatch(/^local +\S+ +closed/m);
    expect(costs).toContain('total');
    expect(explained).toMatch(/^1 +local +m +yes/m);
    expect(await say('restart', 'local')).toBe('local is restarted\n');
  }, 60_000);

  test('tells a person how to go on when npm started it, on standard error', async () => {
    await using config = await writeConfig(DEFAULT_CONFIG);
    await using daemon = await startDaemon(config.file, [], { npm_lifecycle_event: 'start' });
    await ask(daemon.url, 'Hello');
    const told = daemon.stderr();
    for (const path of ['/v1/chat/completions', '/v1/messages', '/v1/requests'])
      expect(told).toContain(`curl ${daemon.url}${path}`);
    expect(told).toContain('openai');
    expect(told).toMatch(/mock/);
    expect(daemon.logLines().length).toBeGreaterThan(0);
  });

  test('goes on when the reader of its log leaves', async () => {
    await using config = await writeConfig(CONFIG);
    await using daemon = await startDaemon(config.file);
    daemon.process.stdout?.destroy();
    daemon.process.kill('SIGHUP'); // Logs a line that nobody can read.
    for (let count = 0; count < 3; count += 1) expect((await ask(daemon.url, 'Hello')).status).toBe(200);
    daemon.process.kill('SIGTERM');
    expect(await daemon.exit).toEqual({ code: 0, signal: null });
  });
});

describe.concurrent('stopping', () => {
  test.each([1, 2, 3])('writes every line of its log, in order, before it ends (%i of 3)', async () => {
    await using config = await writeConfig(CONFIG);
    await using daemon = await startDaemon(config.file);
    daemon.process.kill('SIGTERM');
    await daemon.exit;
    const last = daemon
      .logLines()
      .map(({ msg }) => msg)
      .filter((msg) => msg === 'told to stop' || msg === 'draining' || msg === 'stopped');
    expect(last).toEqual(['told to stop', 'draining', 'stopped']);
  });

  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s lets a request in flight finish, refuses new ones, and ends with 0',
    async (signal) => {
      await using config = await writeConfig(CONFIG);
      await using daemon = await startDaemon(config.file);
      const slow = ask(daemon.url, 'be slow');
      await untilOpen(daemon.url, 1);
      daemon.process.kill(signal);
      await daemon.sees(/"msg":"told to stop"/);
      const refused = await ask(daemon.url, 'Hello');
      expect(refused.status).toBe(503);
      expect(refused.text).toContain('shutting_down');
      expect((await fetch(`${daemon.url}/readyz`)).status).toBe(503);
      const answer = await slow;
      expect(answer.status).toBe(200);
      expect(answer.text).toContain('slowly');
      expect(await daemon.exit).toEqual({ code: 0, signal: null });
    },
  );
});

describe.concurrent('SIGHUP', () => {
  test('reads the config again without losing a request in flight', async () => {
    await using config = await writeConfig(CONFIG);
    await using daemon = await startDaemon(config.file);
    const slow = ask(daemon.url, 'be slow');
    await untilOpen(daemon.url, 1);
    await writeFile(
      config.file,
      `${CONFIG}  second: { adapter: mock, models: [n], options: { default: { text: from the second } } }\nmodels: { other: [second/n] }\n`,
    );
    daemon.process.kill('SIGHUP');
    await daemon.sees(/"msg":"reloaded"/);
    const pinned = await fetch(`${daemon.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'second/n', messages: [{ role: 'user', content: 'Hello' }] }),
    });
    expect(await pinned.text()).toContain('from the second');
    const models = await (await fetch(`${daemon.url}/v1/models`)).text();
    expect(models, 'the list of models follows, aliases included').toContain('"other"');
    expect((await slow).text).toContain('slowly');
  });

  test('keeps the config in force when the new one has mistakes, and says which', async () => {
    await using config = await writeConfig(CONFIG);
    await using daemon = await startDaemon(config.file);
    await writeFile(config.file, CONFIG.replace('adapter: mock', 'adapter: mokc'));
    daemon.process.kill('SIGHUP');
    await daemon.sees(/providers\.local\.adapter[^\n]*reload failed/);
    expect((await ask(daemon.url, 'Hello')).status).toBe(200);
  });
});

describe.concurrent('a daemon that cannot start', () => {
  test('says that its port is taken and what to do, and ends with 69', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo; // It listens on TCP.
    await using config = await writeConfig(`${CONFIG}  later: { adapter: openai, enabled: whenKeyed, apiKey: '' }\n`);
    await using child = spawnCli(['serve', '--config', config.file, '--port', `${port}`]);
    expect(await child.exit).toEqual({ code: 69, signal: null });
    expect(child.stderr()).toBe(
      `switchgear: port ${port} on 127.0.0.1 is taken: stop what listens there, or choose another with --port N or http.port\n`,
    );
    expect(child.stdout(), 'nothing was started, so nothing is drained or told').toBe('');
    server.close();
  });

  test('names every mistake of its config at once, starts nothing, and ends with 78', async () => {
    await using config = await writeConfig(
      'http: { port: 99999 }\nproviders:\n  a: { adapter: mokc }\n  b: { adapter: mock, priorty: 1 }\n',
    );
    await using child = spawnCli(['serve', '--config', config.file]);
    expect(await child.exit).toEqual({ code: 78, signal: null });
    for (const path of ['http.port', 'providers.a.adapter', 'providers.b.priorty'])
      expect(child.stderr()).toContain(path);
    expect(child.stdout()).toBe('');
  });

  test('names every mistake in what only an adapter understands, and ends with 78', async () => {
    await using config = await writeConfig(
      'providers:\n  a: { adapter: mock, models: [m], options: { scirpt: [] } }\n  b: { adapter: mock, options: { repeat: 1 } }\n',
    );
    await using child = spawnCli(['serve', '--config', config.file, '--port', '0']);
    expect(await child.exit).toEqual({ code: 78, signal: null });
    for (const path of ['providers.a.options.scirpt', 'providers.b.options.repeat'])
      expect(child.stderr()).toContain(path);
    expect(child.stdout()).not.toContain('"listening"');
  });

  test('says that its config is missing, and ends with 78', async () => {
    await using child = spawnCli(['serve', '--config', '/nonexistent/switchgear.yaml']);
    expect(await child.exit).toEqual({ code: 78, signal: null });
    expect(child.stderr()).toContain('/nonexistent/switchgear.yaml');
  });

  test('never shows a key of a config that it refuses', async () => {
    await using config = await writeConfig(
      'providers:\n  a: { adapter: openai, apiKey: sk-canary-1234567890abcdef, priority: high }\n',
    );
    await using child = spawnCli(['serve', '--config', config.file]);
    expect((await child.exit).code).toBe(78);
    expect(child.stdout() + child.stderr()).not.toContain('canary');
  });

  test.each([
    ['--host', ['--host', '0.0.0.0'], CONFIG],
    ['http.host', [], `http: { host: 0.0.0.0 }\n${CONFIG}`],
  ])('refuses a host that others can reach, given by %s, and ends with 78', async (_name, words, text) => {
    await using config = await writeConfig(text);
    await using child = spawnCli(['serve', '--config', config.file, '--port', '0', ...words]);
    expect(await child.exit).toEqual({ code: 78, signal: null });
    expect(child.stderr()).toContain('--allow-unauthenticated');
    expect(child.stdout()).toBe('');
  });

  test('takes such a host when told so, and warns', async () => {
    await using config = await writeConfig(CONFIG);
    await using daemon = await startDaemon(config.file, ['--host', '0.0.0.0', '--allow-unauthenticated']);
    expect(daemon.url).toMatch(/^http:\/\/127\.0\.0\.1:/);
    expect((await ask(daemon.url, 'Hello')).status).toBe(200);
    expect(daemon.logLines()).toContainEqual(expect.objectContaining({ level: 40, host: '0.0.0.0' }));
  });
});

describe.concurrent('which config is meant', () => {
  test('is the one in the working directory, else one that needs no keys', async () => {
    await using config = await writeConfig(CONFIG);
    await using own = spawnCli(['serve', '--port', '0'], {}, config.folder);
    await own.sees(/"config":"switchgear\.yaml","providers":\["local"\]/);
    await using elsewhere = spawnCli(['serve', '--port', '0'], {}, '/');
    await elsewhere.sees(/"config":"[^"]+\/config\/switchgear\.yaml","providers":\["mock"\]/);
  });
});

// One after the other: what else is done at the same time would be measured as well.
describe('in time', () => {
  test('an idle daemon ends at once, although a client keeps its connection', async () => {
    await using config = await writeConfig(CONFIG);
    await using daemon = await startDaemon(config.file);
    await ask(daemon.url, 'Hello');
    const before = performance.now();
    daemon.process.kill('SIGTERM');
    expect(await daemon.exit).toEqual({ code: 0, signal: null });
    expect(performance.now() - before).toBeLessThan(2_000);
  });

  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('a second %s ends it within a second', async (signal, code) => {
    await using config = await writeConfig(CONFIG);
    await using daemon = await startDaemon(config.file);
    const hanging = ask(daemon.url, 'hang').catch(() => 'cut');
    await untilOpen(daemon.url, 1);
    daemon.process.kill(signal);
    await daemon.sees(/"msg":"told to stop"/);
    await sleep(200); // Longer than what counts as an echo.
    const before = performance.now();
    daemon.process.kill(signal);
    expect(await daemon.exit).toEqual({ code, signal: null });
    expect(performance.now() - before).toBeLessThan(1_000);
    await hanging;
  });

  test('a reader of the log that stalls delays neither a request nor the end', async () => {
    await using config = await writeConfig(CONFIG);
    await using daemon = await startDaemon(config.file);
    daemon.process.stdout?.pause();
    // More lines than the pipe and its reader's buffer hold.
    for (let round = 0; round < 40; round += 1) {
      const answers = await Promise.all(Array.from({ length: 25 }, () => ask(daemon.url, 'Hello')));
      expect(answers.every(({ status }) => status === 200)).toBe(true);
    }
    const exited = new Promise<number | null>((resolve) => daemon.process.once('exit', resolve));
    const before = performance.now();
    daemon.process.kill('SIGTERM');
    expect(await exited).toBe(0);
    expect(performance.now() - before).toBeLessThan(3_000);
    daemon.process.stdout?.resume();
  });
});
