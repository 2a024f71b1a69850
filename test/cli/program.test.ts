import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { EXIT_OF_CODE } from '../../src/cli/failure.ts';
import { ERROR_POLICY } from '../../src/contract/failures.ts';
import { always, completionOf, startScriptedDaemon } from './scripted-daemon.ts';
import { run } from './test-shell.ts';

/** An address on which nobody listens. */
async function freeUrl(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // It listens on TCP.
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

describe('words', () => {
  test.each([
    [['stauts'], /unknown command 'stauts' \(Did you mean status\?\)/],
    [['complete', 'Hi', '--modle', 'm'], /unknown option '--modle' \(Did you mean --model\?\)/],
    [['complete', 'Hi', 'there'], /too many arguments/],
    [['result'], /missing required argument 'id'/],
    [['complete', 'Hi', '--max-tokens', 'many'], /'many' is invalid. Expected a whole number from 1 to/],
    [['complete', 'Hi', '--max-tokens', '0'], /Expected a whole number from 1 to/],
    [['complete', 'Hi', '--priority', 'urgent'], /Allowed choices are high, normal, low/],
    [['result', 'req_1', '--wait', '-1'], /Expected a whole number from 0 to/],
    [['serve', '--port', '65536'], /Expected a whole number from 0 to 65535/],
    [['costs', '--since', 'yesterday'], /Expected a date .* such as 24h or 7d; "switchgear --help"/],
    [['costs', '--since', '2026-13-45'], /Expected a date/],
    [['config', 'chekc'], /unknown command 'chekc' \(Did you mean check\?\)/],
  ])('%j is a usage error, told in one line with what to do', async (words, message) => {
    const { code, out, err } = await run(words);
    expect({ code, out }).toEqual({ code: 64, out: '' });
    expect(err).toMatch(message);
    expect(err).toMatch(/^switchgear: [^\n]+\n$/);
  });

  test('--json tells a usage error as JSON', async () => {
    const { code, out, err } = await run(['stauts', '--json']);
    expect({ code, err }).toEqual({ code: 64, err: '' });
    expect(JSON.parse(out)).toMatchObject({ error: { message: expect.stringContaining('stauts'), exitCode: 64 } });
  });

  test('no word at all shows the help as an error', async () => {
    const { code, out, err } = await run([]);
    expect({ code, out }).toEqual({ code: 64, out: '' });
    expect(err).toContain('Usage: switchgear');
  });

  test('--help names every word and every exit code, --version the version', async () => {
    const help = await run(['--help']);
    expect(help).toMatchObject({ code: 0, err: '' });
    for (const word of [
      'serve',
      'complete',
      'submit',
      'result',
      'cancel',
      'status',
      'costs',
      'explain',
      'config',
      'simulate',
      'demo',
    ]) {
      expect(help.out).toMatch(new RegExp(`^  ${word}\\b`, 'm'));
    }
    for (const code of Object.values(EXIT_OF_CODE)) expect(help.out).toMatch(new RegExp(`\\b${code}\\b`));
    expect((await run(['--version'])).out).toMatch(/^\d+\.\d+\.\d+\S*\n$/);
    expect((await run(['complete', '--help'])).out).toContain('--url');
  });
});

describe('the address', () => {
  test('--url goes before SWITCHGEAR_URL, and a path before the routes is kept', async () => {
    await using daemon = await startScriptedDaemon(always(200, completionOf('ok')));
    const result = await run(['complete', 'Hi', '--url', `${daemon.url}/llm/`], {
      env: { SWITCHGEAR_URL: 'http://127.0.0.1:1' },
    });
    expect(result.code).toBe(0);
    expect(daemon.questions[0]?.path).toBe('/llm/v1/chat/completions');
  });

  test.each(['localhost:4141', 'ftp://host', 'not a url', 'http://user:hunter2@host', 'http://host?x=1'])(
    '%s is refused',
    async (url) => {
      for (const result of [
        await run(['status', '--url', url]),
        await run(['status'], { env: { SWITCHGEAR_URL: url } }),
      ]) {
        expect(result).toMatchObject({ code: 64, out: '' });
        expect(result.err).toMatch(/expected (--url|SWITCHGEAR_URL) to be /);
        expect(result.err).not.toContain('hunter2');
      }
    },
  );

  test.each([
    ['complete', 'Hi'],
    ['complete', 'Hi', '--stream'],
    ['submit', 'Hi'],
    ['result', 'req_1'],
    ['cancel', 'req_1'],
    ['status'],
    ['costs'],
    ['explain'],
  ])('%s %s %s: nobody there is 69, with the way to start one', async (...words) => {
    const url = await freeUrl();
    const { code, out, err } = await run([...words.filter((word) => word !== undefined), '--url', url]);
    expect({ code, out }).toEqual({ code: 69, out: '' });
    expect(err).toBe(
      `switchgear: no daemon at ${url}: start one with "npm start" or "switchgear serve", or pass --url\n`,
    );
  });

  test('a name that does not resolve is the same', async () => {
    expect((await run(['status', '--url', 'http://daemon.invalid:4141'])).code).toBe(69);
  });

  test('somebody else who answers is told from Switchgear', async () => {
    await using page = await startScriptedDaemon((_question, response) => response.writeHead(200).end('<html>'));
    await using other = await startScriptedDaemon(always(200, { hello: 'world' }));
    for (const { url } of [page, other]) {
      const result = await run(['status', '--url', url]);
      expect(result).toMatchObject({ code: 76, out: '' });
      expect(result.err).toContain('is that Switchgear?');
    }
  });

  test('https to a daemon that speaks plain http says so, and which address to try', async () => {
    await using daemon = await startScriptedDaemon(always(200, completionOf('ok')));
    const url = daemon.url.replace('http:', 'https:');
    expect(await run(['status', '--url', url])).toEqual({
      code: 69,
      out: '',
      err: `switchgear: expected ${url} to speak TLS, got something else: a daemon speaks plain http, try --url ${daemon.url}\n`,
    });
  });

  test('a connection that is closed without an answer is 69', async () => {
    await using daemon = await startScriptedDaemon((_question, response) => response.destroy());
    const result = await run(['status', '--url', daemon.url]);
    expect(result.code).toBe(69);
    expect(result.err).toContain(`the connection to ${daemon.url} broke`);
  });
});

describe('exit codes', () => {
  test.each(Object.entries(ERROR_POLICY))(
    '%s ends as the table says, by header or by body',
    async (name, { httpStatus, openaiCode }) => {
      const error = { message: 'what to do', code: openaiCode };
      const expected = EXIT_OF_CODE[name as keyof typeof EXIT_OF_CODE]; // The keys of ERROR_POLICY are the error codes.
      await using withHeader = await startScriptedDaemon(
        always(httpStatus, { error: { message: 'what to do' } }, { 'x-switchgear-error': name }),
      );
      await using withBody = await startScriptedDaemon(always(httpStatus, { error }));
      expect(await run(['complete', 'Hi', '--url', withHeader.url])).toEqual({
        code: expected,
        out: '',
        err: 'switchgear: what to do\n',
      });
      expect((await run(['complete', 'Hi', '--url', withBody.url])).code).toBe(expected);
    },
  );

  test.each([
    [429, 75],
    [503, 75],
    [504, 75],
    [400, 65],
    [404, 65],
    [401, 77],
    [403, 77],
    [402, 77],
    [500, 76],
    [502, 76],
    [418, 76],
    [301, 76],
  ])('a bare %i, as a proxy gives it, ends with %i', async (status, code) => {
    await using daemon = await startScriptedDaemon((_question, response) => response.writeHead(status).end('oops'));
    const result = await run(['complete', 'Hi', '--url', daemon.url]);
    expect(result).toEqual({ code, out: '', err: `switchgear: ${daemon.url} answered ${status}\n` });
  });

  test('a refusal for where the request came from ends with 77, although it has no code of its own', async () => {
    await using daemon = await startScriptedDaemon(
      always(403, { error: { message: 'not from there' } }, { 'x-switchgear-error': 'invalid-request' }),
    );
    expect((await run(['status', '--url', daemon.url])).code).toBe(77);
  });

  test("a defect of the daemon's own ends with 70", async () => {
    await using daemon = await startScriptedDaemon(
      always(500, { error: { message: 'internal' } }, { 'x-switchgear-error': 'internal-error' }),
    );
    expect((await run(['complete', 'Hi', '--url', daemon.url])).code).toBe(70);
  });

  test('--json tells code, message, request id and when to come back', async () => {
    const headers = { 'x-switchgear-error': 'queue-full', 'x-switchgear-request-id': 'req_9', 'retry-after': '3' };
    await using daemon = await startScriptedDaemon(always(503, { error: { message: 'full' } }, headers));
    const { code, out, err } = await run(['complete', 'Hi', '--json', '--url', daemon.url]);
    expect({ code, err }).toEqual({ code: 75, err: '' });
    expect(JSON.parse(out)).toEqual({
      error: { code: 'queue-full', message: 'full', requestId: 'req_9', retryAfterSeconds: 3, exitCode: 75 },
    });
  });

  test('no escape sequence of an error reaches the terminal', async () => {
    await using daemon = await startScriptedDaemon(always(502, { error: { message: 'bad\u001b[2J\u0007 news' } }));
    expect((await run(['complete', 'Hi', '--url', daemon.url])).err).toBe('switchgear: bad[2J news\n');
  });
});
