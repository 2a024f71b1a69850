import { describe, expect, test } from 'vitest';
import { runCommandLine } from '../../src/cli/program.ts';
import { always, chunkOf, startScriptedDaemon } from './scripted-daemon.ts';
import { createTestShell, run } from './test-shell.ts';

const EVENTS = { 'content-type': 'text/event-stream' };

describe('result --stream', () => {
  test('prints the answer from its beginning and on as it comes', async () => {
    const release = Promise.withResolvers<void>();
    await using daemon = await startScriptedDaemon((_question, response) => {
      response.writeHead(200, EVENTS).write(`: keep-alive\n\ndata: ${chunkOf('so far ')}\n\n`);
      void release.promise.then(() => response.end(`data: ${chunkOf('and on', 'stop')}\n\ndata: [DONE]\n\n`));
    });
    const shell = createTestShell({ onOutput: (text) => text.includes('so far ') && release.resolve() });
    expect(await runCommandLine(['result', 'req_1', '--stream', '--url', daemon.url], shell)).toBe(0);
    expect(shell.out()).toBe('so far and on\n');
    expect(daemon.questions).toMatchObject([{ method: 'GET', path: '/v1/requests/req_1/stream' }]);
  });

  test('prints one chunk a line with --json', async () => {
    const chunks = [chunkOf('a'), chunkOf('b', 'stop')];
    await using daemon = await startScriptedDaemon((_question, response) => {
      response.writeHead(200, EVENTS).end(`${chunks.map((chunk) => `data: ${chunk}\n\n`).join('')}data: [DONE]\n\n`);
    });
    const { code, out } = await run(['result', 'req_1', '--stream', '--json', '--url', daemon.url]);
    expect({ code, lines: out.trimEnd().split('\n') }).toEqual({ code: 0, lines: chunks });
  });

  test('says that an answer which starts over is to be read again, and ends with 75', async () => {
    const failure = JSON.stringify({
      error: { message: 'read the stream again', type: 'server_error', code: 'interrupted' },
    });
    await using daemon = await startScriptedDaemon((_question, response) => {
      response.writeHead(200, EVENTS).end(`data: ${chunkOf('lost')}\n\ndata: ${failure}\n\n`);
    });
    expect(await run(['result', 'req_1', '--stream', '--url', daemon.url])).toEqual({
      code: 75,
      out: 'lost\n',
      err: 'switchgear: read the stream again\n',
    });
  });

  test.each([
    [404, 'request-not-found'],
    [410, 'request-expired'],
  ])('of a request that is gone (%i) ends with 65', async (status, name) => {
    await using daemon = await startScriptedDaemon(
      always(status, { error: { message: 'gone' } }, { 'x-switchgear-error': name }),
    );
    const result = await run(['result', 'req_1', '--stream', '--url', daemon.url]);
    expect(result).toEqual({ code: 65, out: '', err: 'switchgear: gone\n' });
  });

  test('is left by Ctrl-C, which asks for nothing to be cancelled', async () => {
    await using daemon = await startScriptedDaemon((_question, response) => {
      response.writeHead(200, EVENTS).write(`data: ${chunkOf('half')}\n\n`);
    });
    const shell = createTestShell({ onOutput: (text) => text === 'half' && shell.pressControlC() });
    expect(await runCommandLine(['result', 'req_1', '--stream', '--url', daemon.url], shell)).toBe(130);
    await daemon.abandoned;
    expect(daemon.questions.map(({ method }) => method)).toEqual(['GET']);
  });

  test.each([[['req_1', '--stream', '--wait', '3']], [['../admin/tree', '--stream']]])(
    'asks nothing for %j',
    async (words) => {
      await using daemon = await startScriptedDaemon(always(200, {}));
      expect((await run(['result', ...words, '--url', daemon.url])).code).toBe(64);
      expect(daemon.questions).toEqual([]);
    },
  );
});
