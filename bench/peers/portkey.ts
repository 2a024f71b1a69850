/**
 * The Portkey gateway, run here from its package, behind the official OpenAI client. Its configuration goes with every
 * request, in a header, as its documentation shows: retries at the first target, then the second.
 */
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import type { FaultDelivery } from '../faults/fault.ts';
import { MODELS, type Side } from '../faults/history.ts';
import { askOpenai } from '../faults/openai-caller.ts';
import type { Stage } from '../faults/stage.ts';
import type { RunningSubject, Subject } from '../faults/subject.ts';
import { FIRST_PIECE_MS, RETRIES, UNSTREAMED_MS } from './limits.ts';

const SERVER = fileURLToPath(new URL('node_modules/@portkey-ai/gateway/build/start-server.js', import.meta.url));
const START_TRIES = 100;
const START_PAUSE_MS = 100;

export const PORTKEY: Subject = {
  name: 'Portkey gateway',
  settings:
    '`strategy: { mode: fallback }` over two targets with `custom_host`; at the first `retry: { attempts: 2, on_status_codes: [429, 500, 502, 503, 504], use_retry_after_header: true }`; `request_timeout` of 12000 for streams, of 60000 otherwise; asked by the `openai` client with `maxRetries: 0`, as ours',
  wire: 'openai',
  hasFallback: true,
  deliveries: ['unstreamed', 'live'],
  start,
};

async function start(): Promise<RunningSubject> {
  const port = await findPort();
  const gateway = spawn(process.execPath, [SERVER, `--port=${port}`, '--headless'], { stdio: 'ignore' });
  const exit = once(gateway, 'exit');
  const baseURL = `http://127.0.0.1:${port}/v1`;
  await untilServing(`http://127.0.0.1:${port}/`);
  const client = new OpenAI({ baseURL, apiKey: 'unused', maxRetries: 0, logLevel: 'off' });
  return {
    open: async (stage) => ({
      ask: (asked, heard) =>
        askOpenai(
          client,
          {
            ...asked,
            model: MODELS.primary,
            headers: { 'x-portkey-config': JSON.stringify(describe(stage, asked.delivery)) },
          },
          heard,
        ),
      close: async () => undefined,
    }),
    close: async () => {
      gateway.kill();
      await exit;
    },
  };
}

function describe(stage: Stage, delivery: FaultDelivery): object {
  const target = (side: Side) => ({
    provider: 'openai',
    api_key: 'key',
    custom_host: `${stage.url(side)}/v1`,
    override_params: { model: MODELS[side] },
    request_timeout: delivery === 'unstreamed' ? UNSTREAMED_MS : FIRST_PIECE_MS,
  });
  const retry = { attempts: RETRIES, on_status_codes: [429, 500, 502, 503, 504], use_retry_after_header: true };
  return { strategy: { mode: 'fallback' }, targets: [{ ...target('primary'), retry }, target('fallback')] };
}

async function findPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (typeof address !== 'object' || address === null) throw new TypeError('expected a TCP address, got: none');
  return address.port;
}

async function untilServing(url: string): Promise<void> {
  for (let tries = 0; tries < START_TRIES; tries += 1) {
    const isServing = await fetch(url).then(
      () => true,
      () => false,
    );
    if (isServing) return;
    await new Promise((resolve) => {
      setTimeout(resolve, START_PAUSE_MS);
    });
  }
  throw new Error(`expected the Portkey gateway to serve ${url}, got: nothing`);
}
