/**
 * Ours, twice: the library inside the program that asks, and the daemon in a process of its own behind the official
 * clients. Both run on their defaults; the configuration names providers, models and prices and changes nothing else.
 */
import { writeFile } from 'node:fs/promises';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { startService, type CostSummary, type Service, type SwitchgearConfig } from '../../src/index.ts';
import type { WireName } from '../../src/simulator/wire.ts';
import { startDaemon, writeConfig } from '../../test/daemon/daemon-process.ts';
import { askAnthropic } from './anthropic-caller.ts';
import type { FaultDelivery } from './fault.ts';
import { type Bill, MODELS, PROMPT, type Side } from './history.ts';
import { askOpenai } from './openai-caller.ts';
import type { Stage } from './stage.ts';
import { type Asked, type Heard, perStage, type Session, type Subject } from './subject.ts';

const DELIVERIES: readonly FaultDelivery[] = ['unstreamed', 'live', 'whole'];
/** Made up; the fallback has the larger window. */
const PRICE = { inputUsdPerMillionTokens: 2, outputUsdPerMillionTokens: 8 };
const WINDOWS: Readonly<Record<Side, number>> = { primary: 8_192, fallback: 1_000_000 };

const SETTINGS = 'its defaults';
const CLIENTS: Readonly<Record<WireName, string>> = { openai: 'openai', anthropic: '@anthropic-ai/sdk' };

const nameOf = (stage: Stage, side: Side): string => `${stage.name}-${side}`;

/** The providers of one stage, and the alias that has them tried in order. */
function configure(stage: Stage, wire: WireName): Pick<Required<SwitchgearConfig>, 'providers' | 'models'> {
  const provider = (side: Side) => ({
    adapter: wire,
    baseURL: wire === 'openai' ? `${stage.url(side)}/v1` : stage.url(side),
    apiKey: `key-of-${side}`,
    models: { [MODELS[side]]: { contextWindow: WINDOWS[side], price: PRICE } },
  });
  const target = (side: Side) => `${nameOf(stage, side)}/${MODELS[side]}`;
  return {
    providers: { [nameOf(stage, 'primary')]: provider('primary'), [nameOf(stage, 'fallback')]: provider('fallback') },
    models: { [stage.name]: [target('primary'), target('fallback')] },
  };
}

/** The library, asked in the same process. */
export function createLibrary(wire: WireName): Subject {
  const start = perStage(async (stage) => openLibrary(stage, await startService(configure(stage, wire))));
  return { name: 'library', settings: SETTINGS, wire, hasFallback: true, deliveries: DELIVERIES, start };
}

function openLibrary(stage: Stage, service: Service): Session {
  const readBill = async (side: Side) => toBill(await service.costSummary({ provider: nameOf(stage, side) }));
  return {
    ask: (asked, heard) => askService(service, stage.name, asked, heard),
    readBills: async () => ({ primary: await readBill('primary'), fallback: await readBill('fallback') }),
    close: () => service.stop({ graceMs: 0 }),
  };
}

async function askService(service: Service, model: string, { delivery, signal }: Asked, heard: Heard): Promise<void> {
  const request = { model, messages: [{ role: 'user' as const, content: PROMPT }] };
  if (delivery === 'unstreamed') {
    const response = await service.completion(request, { signal });
    heard.text = response.text;
    hearEnd(heard, response);
    return;
  }
  for await (const part of service.completionStream(request, { delivery, signal })) {
    if (part.type === 'text') heard.text += part.text;
    if (part.type === 'finish') hearEnd(heard, part.response);
  }
}

function hearEnd(
  heard: Heard,
  { model, usage }: { model: string; usage: { inputTokens?: number; outputTokens?: number } },
): void {
  const { inputTokens, outputTokens } = usage;
  heard.model = model;
  if (inputTokens !== undefined && outputTokens !== undefined)
    heard.usage = { input: inputTokens, output: outputTokens };
}

/** The daemon, asked by the official client of `client`. */
export function createDaemon(client: WireName, wire: WireName): Subject {
  return {
    name: `daemon, ${client} client`,
    settings: `${SETTINGS}; asked by the \`${CLIENTS[client]}\` client with \`maxRetries: 0\``,
    wire,
    hasFallback: true,
    deliveries: DELIVERIES,
    start: async (stages) => {
      const sections = stages.map((stage) => configure(stage, wire));
      const config = await writeConfig('');
      await writeFile(
        config.file,
        JSON.stringify({
          providers: Object.assign({}, ...sections.map(({ providers }) => providers)),
          models: Object.assign({}, ...sections.map(({ models }) => models)),
        }),
      );
      const daemon = await startDaemon(config.file);
      const ask = createCaller(client, daemon.url);
      return {
        open: async (stage) => openDaemon(stage, daemon.url, ask),
        close: async () => {
          await daemon[Symbol.asyncDispose]();
          await config[Symbol.asyncDispose]();
        },
      };
    },
  };
}

type AskDaemon = (model: string, asked: Asked, heard: Heard) => Promise<void>;

/** The clients' own retries are off, so that what is measured is the daemon's doing alone. */
function createCaller(client: WireName, url: string): AskDaemon {
  const options = { apiKey: 'unused', maxRetries: 0, logLevel: 'off' as const };
  const question = (model: string, asked: Asked) => ({ ...asked, model, headers: chooseDelivery(asked.delivery) });
  if (client === 'openai') {
    const openai = new OpenAI({ ...options, baseURL: `${url}/v1` });
    return (model, asked, heard) => askOpenai(openai, question(model, asked), heard);
  }
  const anthropic = new Anthropic({ ...options, baseURL: url });
  return (model, asked, heard) => askAnthropic(anthropic, question(model, asked), heard);
}

function chooseDelivery(delivery: FaultDelivery): Readonly<Record<string, string>> {
  return delivery === 'unstreamed' ? {} : { 'x-switchgear-delivery': delivery };
}

function openDaemon(stage: Stage, url: string, ask: AskDaemon): Session {
  const readBill = async (side: Side): Promise<Bill> => {
    const response = await fetch(`${url}/admin/costs?provider=${nameOf(stage, side)}`);
    // The daemon answers its own summary as JSON; both sides are of this repository.
    return toBill((await response.json()) as CostSummary);
  };
  return {
    ask: (asked, heard) => ask(stage.name, asked, heard),
    readBills: async () => ({ primary: await readBill('primary'), fallback: await readBill('fallback') }),
    close: async () => undefined,
  };
}

/** Both ways, on both wires. */
export const OURS: readonly Subject[] = [
  createLibrary('openai'),
  createLibrary('anthropic'),
  createDaemon('openai', 'openai'),
  createDaemon('openai', 'anthropic'),
  createDaemon('anthropic', 'openai'),
  createDaemon('anthropic', 'anthropic'),
];

const ROOT = new URL('../../', import.meta.url);
/** The packages whose versions a board of ours depends on. */
export const OUR_PACKAGES = ['openai', '@anthropic-ai/sdk'].map((name) => ({ name, root: ROOT }));

function toBill({ totalCost, tokenUsage }: CostSummary): Bill {
  return { usdNanos: totalCost.usdNanos, outputTokens: tokenUsage.outputTokens };
}
