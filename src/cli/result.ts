/** `result` and `cancel`: what became of a submitted request, and ending it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Option } from 'commander';
import { EXIT } from '../daemon/exit-code.ts';
import { integer, requestPath } from './arguments.ts';
import { CliFailure, EXIT_OF_CODE, readErrorCode } from './failure.ts';
import { renderAnswer } from './complete.ts';
import { printStream } from './print-stream.ts';
import { ADMIN_TIMEOUT_MS, type AddCommand, type CommandContext } from './session.ts';
import { parseBody, requestBody } from './wire.ts';

/** Longest wait asked for in one go: below what proxies and the daemon itself allow. */
const POLL_MAX_SECONDS = 30;
/** Between two polls, should the daemon answer sooner than asked. */
const PAUSE_MS = 250;

export const addResult: AddCommand = (program, session) => {
  program
    .command('result')
    .description('print the answer of a submitted request; it can be read again until it expires')
    .argument('<id>', 'what submit printed')
    .option('-w, --wait <seconds>', 'wait for it this long; exit code 75 when it still runs', integer(0, 86_400), 0)
    .addOption(
      new Option(
        '--stream',
        'print the answer from its beginning and on as it comes; with --json one chunk a line',
      ).conflicts('wait'),
    )
    .action((id: string, options: { readonly wait: number; readonly stream?: boolean }, command) =>
      session.run(command, (context) =>
        options.stream === true ? followResult(context, id) : printResult(context, id, options.wait),
      ),
    );
};

export const addCancel: AddCommand = (program, session) => {
  program
    .command('cancel')
    .description('end a submitted request')
    .argument('<id>', 'what submit printed')
    .action((id: string, _options: unknown, command) => session.run(command, (context) => cancel(context, id)));
};

async function printResult(context: CommandContext, id: string, waitSeconds: number): Promise<void> {
  const body = await pollResult(context, requestPath(id), waitSeconds);
  const result = parseBody(requestBody, body, context.client().url);
  switch (result.status) {
    case 'succeeded':
      if (result.response === null || result.response === undefined) {
        throw new CliFailure(EXIT.protocol, `expected the result of ${id} to hold a response, got none`, {
          document: body,
        });
      }
      await context.show(body, renderAnswer(context, result.response));
      return;
    case 'queued':
    case 'running':
      throw new CliFailure(EXIT.temporary, `${id} is still ${result.status}: ask again, or pass --wait SECONDS`, {
        document: body,
      });
    case 'failed':
    case 'cancelled': {
      const code =
        readErrorCode(result.error?.code) ?? (result.status === 'cancelled' ? 'cancelled' : 'provider-error');
      throw new CliFailure(EXIT_OF_CODE[code], `${id} ${result.status}: ${result.error?.message ?? code}`, {
        document: body,
      });
    }
  }
}

/** Ctrl-C ends the reading; the request goes on. */
async function followResult(context: CommandContext, id: string): Promise<void> {
  await printStream(context, {
    method: 'GET',
    path: `${requestPath(id)}/stream`,
    signal: context.shell.interrupt(),
  });
}

async function pollResult(context: CommandContext, path: string, waitSeconds: number): Promise<unknown> {
  const client = context.client();
  const signal = context.shell.interrupt();
  const endMs = performance.now() + waitSeconds * 1_000;
  for (;;) {
    const restMs = Math.max(0, endMs - performance.now());
    const wait = Math.min(POLL_MAX_SECONDS, Math.ceil(restMs / 1_000));
    const timeoutMs = wait * 1_000 + ADMIN_TIMEOUT_MS;
    const body = await client.ask({ method: 'GET', path, query: { wait: `${wait}` }, signal, timeoutMs });
    const { status } = parseBody(requestBody, body, client.url);
    const restAfterMs = endMs - performance.now();
    if ((status !== 'queued' && status !== 'running') || restAfterMs <= 0) return body;
    await sleep(Math.min(PAUSE_MS, restAfterMs), undefined, { signal });
  }
}

async function cancel(context: CommandContext, id: string): Promise<void> {
  const client = context.client();
  const body = await client.ask({
    method: 'DELETE',
    path: requestPath(id),
    signal: context.shell.interrupt(),
    timeoutMs: ADMIN_TIMEOUT_MS,
  });
  const { status } = parseBody(requestBody, body, client.url);
  if (status === 'succeeded' || status === 'failed') {
    throw new CliFailure(EXIT.request, `${id} had already ${status}: nothing was cancelled`, { document: body });
  }
  await context.show(body, `${id} is cancelled\n`);
}
