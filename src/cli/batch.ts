/** `batch`: a file of requests is handed over, watched, looked at, cancelled. */
import { Option } from 'commander';
import { EXIT } from '../daemon/exit-code.ts';
import { integer } from './arguments.ts';
import { count } from './batch-progress.ts';
import { type RunBatchOptions, runBatch } from './batch-run.ts';
import { batchBody, type BatchBody, batchPath, isOver, problemsOf } from './batch-wire.ts';
import { CliFailure } from './failure.ts';
import { ADMIN_TIMEOUT_MS, type AddCommand, type CommandContext } from './session.ts';
import { parseBody } from './wire.ts';

export const addBatch: AddCommand = (program, session) => {
  const batch = program.command('batch').description('run many requests from a file');
  batch
    .command('run')
    .description('run a file of requests and write their results; run again, it goes on where it was')
    .argument('<file>', 'JSON lines in the format of the OpenAI batch API')
    .option('-o, --output <file>', 'where the results go; default: FILE with .output before its extension')
    .option('-m, --model <model>', 'for requests that name no model')
    .addOption(
      new Option('-p, --priority <class>', 'class of service; default: low').choices(['high', 'normal', 'low']),
    )
    .option('--timeout-ms <ms>', 'when the whole batch has to be done; default: 24 hours', integer(1, 604_800_000))
    .option('--tenant <name>', 'the account it is booked to')
    .option('--key <key>', 'another key runs a file again that was run before')
    .action((file: string, options: RunBatchOptions, command) =>
      session.run(command, (context) => runBatch(context, file, options)),
    );
  batch
    .command('status')
    .description('show how far a batch is')
    .argument('<id>', 'what batch run printed')
    .action((id: string, _options: unknown, command) => session.run(command, (context) => showStatus(context, id)));
  batch
    .command('cancel')
    .description('end a batch: what has not ended is not run any more')
    .argument('<id>', 'what batch run printed')
    .action((id: string, _options: unknown, command) => session.run(command, (context) => cancel(context, id)));
};

async function showStatus(context: CommandContext, id: string): Promise<void> {
  const { body, batch } = await ask(context, 'GET', batchPath(id));
  const { total, completed, failed } = batch.request_counts;
  const running = batch.status_counts?.running;
  const lines = [
    `${batch.id} ${batch.status.replace('_', ' ')}`,
    `${count(completed + failed)} of ${count(total)} ended, ${count(completed)} succeeded, ${count(failed)} failed${running === undefined ? '' : `, ${count(running)} running`}`,
    ...problemsOf(batch),
  ];
  await context.show(body, `${lines.join('\n')}\n`);
}

async function cancel(context: CommandContext, id: string): Promise<void> {
  const before = await ask(context, 'GET', batchPath(id));
  if (isOver(before.batch)) {
    const { id: batchId, status } = before.batch;
    throw new CliFailure(EXIT.request, `${batchId} is ${status} already: nothing was cancelled`, {
      document: before.body,
    });
  }
  const { body, batch } = await ask(context, 'POST', `${batchPath(id)}/cancel`);
  await context.show(body, `${batch.id} is ${batch.status}; what had ended stays: run its file again to fetch it\n`);
}

async function ask(
  context: CommandContext,
  method: 'GET' | 'POST',
  path: string,
): Promise<{ readonly body: unknown; readonly batch: BatchBody }> {
  const client = context.client();
  const body = await client.ask({ method, path, signal: context.shell.interrupt(), timeoutMs: ADMIN_TIMEOUT_MS });
  return { body, batch: parseBody(batchBody, body, client.url) };
}
