/** The official OpenAI client as it comes: two retries, ten minutes, one provider. */
import OpenAI from 'openai';
import { MODELS } from '../faults/history.ts';
import { askOpenai } from '../faults/openai-caller.ts';
import type { Stage } from '../faults/stage.ts';
import { perStage, type Session, type Subject } from '../faults/subject.ts';

export const OPENAI_SDK: Subject = {
  name: 'openai SDK',
  settings: 'its defaults (`maxRetries: 2`, `timeout` of 10 minutes); it has no fallback',
  wire: 'openai',
  hasFallback: false,
  deliveries: ['unstreamed', 'live'],
  start: perStage(open),
};

async function open(stage: Stage): Promise<Session> {
  const client = new OpenAI({ baseURL: `${stage.url('primary')}/v1`, apiKey: 'key', logLevel: 'off' });
  return {
    ask: (asked, heard) => askOpenai(client, { ...asked, model: MODELS.primary }, heard),
    close: async () => undefined,
  };
}
