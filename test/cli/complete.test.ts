import { describe, expect, test } from 'vitest';
import { runCommandLine } from '../../src/cli/program.ts';
import { always, chunkOf, completionOf, startScriptedDaemon } from './scripted-daemon.ts';
import { createTestShell, run } from './test-shell.ts';

describe('complete', () => {
  test('prints the text of the answer and nothing else', async () => {
    await using daemon = await startScriptedDaemon(always(200, completionOf('Hello, world')));
    expect(await run(['complete', 'Hi', '--url', daemon.url])).toEqual({ code: 0, out: 'Hello, world\n', err: '' });
  });

  test('sends every option to where it belongs', async () => {
    await using daemon = await startScriptedDaemon(always(200, completionOf('ok')));
    const words = ['complete', 'Hi', '--model', 'smart', '--system', 'Be brief', '--max-tokens', '7'];
    await run([...words, '--priority', 'high', '--timeout-ms', '1234', '--tenant', 'acme'], {
      env: { SWITCHGEAR_URL: daemon.url },
    });
    const [question] = daemon.questions;
    expect(question).toMatchObject({ method: 'POST', path: '/v1/chat/completions' });
    expect(question?.body).toEqual({
      model: 'smart',
      messages: [
        { role: 'system', content: 'Be brief' },
        { role: 'user', content: 'Hi' },
      ],
      max_tokens: 7,
    });
    expect(question?.headers).toMatchObject({
      'content-type': 'application/json',
      'x-switchgear-priority': 'high',
      'x-switchgear-timeout-ms': '1234',
      'x-switchgear-tenant': 'acme',
    });
  });

  test('leaves out what was not given', async () => {
    await using daemon = await startScriptedDaemon(always(200, completionOf('ok')));
    await run(['complete', 'Hi', '--url', daemon.url]);
    expect(daemon.questions[0]?.body).toEqual({ messages: [{ role: 'user', content: 'Hi' }] });
    expect(Object.keys(daemon.questions[0]?.headers ?? {}).filter((name) => name.startsWith('x-'))).toEqual([]);
  });

  test.each([['-'], [undefined]])('reads the prompt from standard input when it is %s', async (argument) => {
    await using daemon = await startScriptedDaemon(always(200, completionOf('ok')));
    await run(['complete', ...(argument === undefined ? [] : [argument]), '--url', daemon.url], { input: 'Grüße\n' });
    expect(daemon.questions[0]?.body).toEqual({ messages: [{ role: 'user', content: 'Grüße\n' }] });
  });

  test.each([
    ['no prompt at a terminal', [], {}, 64],
    ['an empty prompt', [' '], {}, 64],
    ['nothing piped in', [], { input: '' }, 64],
    ['bytes that are no text', ['-'], { input: new Uint8Array([0xff, 0xfe, 0x41]) }, 65],
  ])('sends nothing for %s', async (_name, words, options, code) => {
    await using daemon = await startScriptedDaemon(always(200, completionOf('never')));
    const result = await run(['complete', ...words, '--url', daemon.url], options);
    expect(result).toMatchObject({ code, out: '' });
    expect(result.err).toMatch(/^switchgear: expected .*\n$/);
    expect(daemon.questions).toEqual([]);
  });

  test('prints the whole body with --json', async () => {
    const body = completionOf('Hello');
    await using daemon = await startScriptedDaemon(always(200, body));
    const { out } = await run(['complete', 'Hi', '--json', '--url', daemon.url]);
    expect(JSON.parse(out)).toEqual(body);
    expect(out.trimEnd()).not.toContain('\n');
  });

  test('says when the answer was cut, beside it', async () => {
    await using daemon = await startScriptedDaemon(always(200, completionOf('half of', 'length')));
    const { code, out, err } = await run(['complete', 'Hi', '--url', daemon.url]);
    expect({ code, out }).toEqual({ code: 0, out: 'half of\n' });
    expect(err).toContain('--max-tokens');
  });

  test('prints a refusal and tool calls where there is no text', async () => {
    const calls = { tool_calls: [{ id: 'c', type: 'function', function: { name: 'look', arguments: '{"at":1}' } }] };
    await using refusing = await startScriptedDaemon(
      always(200, completionOf(null, 'stop', { refusal: 'I will not' })),
    );
    await using calling = await startScriptedDaemon(always(200, completionOf(null, 'tool_calls', calls)));
    expect((await run(['complete', 'Hi', '--url', refusing.url])).out).toBe('I will not\n');
    expect((await run(['complete', 'Hi', '--url', calling.url])).out).toBe('look({"at":1})\n');
  });

  test('lets no escape sequence of a model reach a terminal, and changes nothing in a pipe', async () => {
    const text = 'a\u001b]0;owned\u0007b\u009b31m\nc\td';
    await using daemon = await startScriptedDaemon(always(200, completionOf(text)));
    expect((await run(['complete', 'Hi', '--url', daemon.url], { isTerminal: true })).out).toBe(
      'a]0;ownedb31m\nc\td\n',
    );
    expect((await run(['complete', 'Hi', '--url', daemon.url], { input: '' })).out).toBe(`${text}\n`);
  });

  test('Ctrl-C closes the connection and ends with 130', async () => {
    const asked = Promise.withResolvers<void>();
    await using daemon = await startScriptedDaemon(() => asked.resolve());
    const shell = createTestShell();
    const running = runCommandLine(['complete', 'Hi', '--url', daemon.url], shell);
    await asked.promise;
    shell.pressControlC();
    expect(await running).toBe(130);
    await daemon.abandoned;
    expect(shell.err()).toBe('switchgear: interrupted\n');
  });
});

describe('complete --stream', () => {
  const events = { 'content-type': 'text/event-stream' };

  test('prints text when it arrives, not when the answer is whole', async () => {
    const release = Promise.withResolvers<void>();
    await using daemon = await startScriptedDaemon((_question, response) => {
      response.writeHead(200, events).write(`data: ${chunkOf('first ')}\n\n`);
      void release.promise.then(() => response.end(`data: ${chunkOf('second', 'stop')}\n\ndata: [DONE]\n\n`));
    });
    const shell = createTestShell({ onOutput: (text) => text.includes('first ') && release.resolve() });
    expect(await runCommandLine(['complete', 'Hi', '--stream', '--url', daemon.url], shell)).toBe(0);
    expect(shell.out()).toBe('first second\n');
    expect(daemon.questions[0]?.body).toMatchObject({ stream: true });
  });

  test('reads events that the network cut inside a character, with CRLF, comments and missing spaces', async () => {
    const bytes = Buffer.from(
      `: hi\r\n\r\ndata:${chunkOf('Grüße ')}\r\n\r\ndata: ${chunkOf('🎉', 'stop')}\r\n\r\ndata: [DONE]\r\n\r\n`,
    );
    await using daemon = await startScriptedDaemon((_question, response) => {
      response.writeHead(200, events);
      const send = (at: number): void => {
        if (at >= bytes.length) response.end();
        else response.write(bytes.subarray(at, at + 3), () => setImmediate(send, at + 3));
      };
      send(0);
    });
    expect(await run(['complete', 'Hi', '--stream', '--url', daemon.url])).toEqual({
      code: 0,
      out: 'Grüße 🎉\n',
      err: '',
    });
  });

  test('prints one chunk a line with --json', async () => {
    const chunks = [chunkOf('a'), chunkOf('b', 'stop')];
    await using daemon = await startScriptedDaemon((_question, response) => {
      response.writeHead(200, events).end(`${chunks.map((chunk) => `data: ${chunk}\n\n`).join('')}data: [DONE]\n\n`);
    });
    const { code, out } = await run(['complete', 'Hi', '--stream', '--json', '--url', daemon.url]);
    expect({ code, lines: out.trimEnd().split('\n') }).toEqual({ code: 0, lines: chunks });
  });

  test('a failure inside the stream ends with its exit code, below the text that came before', async () => {
    const failure = JSON.stringify({
      error: { message: 'all providers are down', type: 'server_error', code: 'providers_unavailable' },
    });
    await using daemon = await startScriptedDaemon((_question, response) => {
      response.writeHead(200, events).end(`data: ${chunkOf('half')}\n\ndata: ${failure}\n\n`);
    });
    const result = await run(['complete', 'Hi', '--stream', '--url', daemon.url]);
    expect(result).toEqual({ code: 75, out: 'half\n', err: 'switchgear: all providers are down\n' });
  });

  test.each([
    ['ends without a finish reason', `data: ${chunkOf('half')}\n\n`, 75, 'half\n'],
    ['holds something that is no chunk', 'data: <html>\n\n', 76, ''],
  ])('a stream that %s is no answer', async (_name, body, code, out) => {
    await using daemon = await startScriptedDaemon((_question, response) => response.writeHead(200, events).end(body));
    const result = await run(['complete', 'Hi', '--stream', '--url', daemon.url]);
    expect(result).toMatchObject({ code, out });
    expect(result.err).toMatch(/^switchgear: \S/);
  });

  test('a connection that breaks inside the stream is told as such', async () => {
    await using daemon = await startScriptedDaemon((_question, response) => {
      response.writeHead(200, events).write(`data: ${chunkOf('half')}\n\n`, () => response.destroy());
    });
    const result = await run(['complete', 'Hi', '--stream', '--url', daemon.url]);
    expect(result.code).toBe(69);
    expect(result.err).toContain('broke');
  });

  test('a refusal before the stream keeps its own exit code', async () => {
    const body = {
      error: { message: 'expected model to be known, got: x', type: 'invalid_request_error', code: 'model_not_found' },
    };
    await using daemon = await startScriptedDaemon(always(404, body, { 'x-switchgear-error': 'unknown-model' }));
    const result = await run(['complete', 'Hi', '--stream', '--url', daemon.url]);
    expect(result).toEqual({ code: 65, out: '', err: 'switchgear: expected model to be known, got: x\n' });
  });

  test('Ctrl-C in the middle closes the connection and keeps what was printed', async () => {
    await using daemon = await startScriptedDaemon((_question, response) => {
      response.writeHead(200, events).write(`data: ${chunkOf('half')}\n\n`);
    });
    const shell = createTestShell({ onOutput: (text) => text === 'half' && shell.pressControlC() });
    expect(await runCommandLine(['complete', 'Hi', '--stream', '--url', daemon.url], shell)).toBe(130);
    await daemon.abandoned;
    expect(shell.out()).toBe('half\n');
  });
});
