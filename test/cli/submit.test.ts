import { describe, expect, test } from 'vitest';
import { runCommandLine } from '../../src/cli/program.ts';
import { always, completionOf, reply, startScriptedDaemon } from './scripted-daemon.ts';
import { createTestShell, run } from './test-shell.ts';

describe('submit, result and cancel', () => {
  test('submit prints the id alone and passes the idempotency key on', async () => {
    await using daemon = await startScriptedDaemon(always(202, { requestId: 'req_1', status: 'queued' }));
    expect(await run(['submit', 'Hi', '--idempotency-key', 'k1', '--url', daemon.url])).toEqual({
      code: 0,
      out: 'req_1\n',
      err: '',
    });
    expect(daemon.questions[0]).toMatchObject({
      method: 'POST',
      path: '/v1/requests',
      headers: { 'idempotency-key': 'k1' },
    });
    const { out } = await run(['submit', 'Hi', '--json', '--url', daemon.url]);
    expect(JSON.parse(out)).toEqual({ requestId: 'req_1', status: 'queued' });
  });

  test('result prints the answer', async () => {
    const body = { requestId: 'req_1', status: 'succeeded', response: completionOf('42') };
    await using daemon = await startScriptedDaemon(always(200, body));
    expect(await run(['result', 'req_1', '--url', daemon.url])).toEqual({ code: 0, out: '42\n', err: '' });
    expect(daemon.questions[0]?.path).toBe('/v1/requests/req_1?wait=0');
  });

  test('result --wait asks again until it is there', async () => {
    let count = 0;
    await using daemon = await startScriptedDaemon((_question, response) => {
      count += 1;
      const body = {
        requestId: 'req_1',
        status: count < 3 ? 'running' : 'succeeded',
        response: count < 3 ? undefined : completionOf('42'),
      };
      reply(response, 200, body);
    });
    expect(await run(['result', 'req_1', '--wait', '45', '--url', daemon.url])).toEqual({
      code: 0,
      out: '42\n',
      err: '',
    });
    expect(daemon.questions.map(({ path }) => path)).toEqual([
      '/v1/requests/req_1?wait=30',
      '/v1/requests/req_1?wait=30',
      '/v1/requests/req_1?wait=30',
    ]);
  });

  test('result ends with 75 while the request still runs, after the wait and not before', async () => {
    await using daemon = await startScriptedDaemon(always(200, { requestId: 'req_1', status: 'running' }));
    const before = performance.now();
    const result = await run(['result', 'req_1', '--wait', '1', '--url', daemon.url]);
    expect(performance.now() - before).toBeGreaterThanOrEqual(999);
    expect(result).toMatchObject({ code: 75, out: '' });
    expect(result.err).toContain('req_1 is still running');
    const json = await run(['result', 'req_1', '--json', '--url', daemon.url]);
    expect(json).toEqual({ code: 75, out: '{"requestId":"req_1","status":"running"}\n', err: '' });
  });

  test.each([
    ['failed', { message: 'too long', code: 'context_length_exceeded' }, 65],
    ['failed', { message: 'nobody answers', code: 'providers_unavailable' }, 75],
    ['failed', { message: 'the key is wrong', code: 'provider_error' }, 76],
    ['cancelled', { message: 'cancelled by its caller', code: 'cancelled' }, 65],
  ])('result of a %s request ends with the exit code of its error', async (status, error, code) => {
    await using daemon = await startScriptedDaemon(always(200, { requestId: 'req_1', status, error }));
    const result = await run(['result', 'req_1', '--url', daemon.url]);
    expect(result).toEqual({ code, out: '', err: `switchgear: req_1 ${status}: ${error.message}\n` });
  });

  test.each([
    [404, 'request-not-found'],
    [410, 'request-expired'],
  ])('result of a request that is gone (%i) ends with 65', async (status, name) => {
    await using daemon = await startScriptedDaemon(
      always(status, { error: { message: 'gone' } }, { 'x-switchgear-error': name }),
    );
    expect(await run(['result', 'req_1', '--url', daemon.url])).toEqual({
      code: 65,
      out: '',
      err: 'switchgear: gone\n',
    });
  });

  test('Ctrl-C while waiting ends with 130', async () => {
    const asked = Promise.withResolvers<void>();
    await using daemon = await startScriptedDaemon(() => asked.resolve());
    const shell = createTestShell();
    const running = runCommandLine(['result', 'req_1', '--wait', '60', '--url', daemon.url], shell);
    await asked.promise;
    shell.pressControlC();
    expect(await running).toBe(130);
  });

  test.each(['../admin/tree', '', 'a b', 'req_1?x', '..'])(
    'an id that is none (%j) never becomes a path',
    async (id) => {
      await using daemon = await startScriptedDaemon(always(200, {}));
      for (const word of ['result', 'cancel']) expect((await run([word, id, '--url', daemon.url])).code).toBe(64);
      expect(daemon.questions).toEqual([]);
    },
  );

  test('cancel says whether there was anything to cancel', async () => {
    await using open = await startScriptedDaemon(always(200, { requestId: 'req_1', status: 'cancelled' }));
    await using settled = await startScriptedDaemon(always(200, { requestId: 'req_1', status: 'succeeded' }));
    expect(await run(['cancel', 'req_1', '--url', open.url])).toEqual({
      code: 0,
      out: 'req_1 is cancelled\n',
      err: '',
    });
    expect(open.questions[0]).toMatchObject({ method: 'DELETE', path: '/v1/requests/req_1' });
    const late = await run(['cancel', 'req_1', '--url', settled.url]);
    expect(late).toMatchObject({ code: 65, err: 'switchgear: req_1 had already succeeded: nothing was cancelled\n' });
  });
});
