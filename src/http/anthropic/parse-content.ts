/** Content blocks of messages and of the system prompt. Text and images are ours too; documents and the rest are carried. */
import { z } from 'zod';
import type { ContentPart, SystemMessage } from '../../contract/request.ts';
import { check, type JsonObject, refuse, text } from '../check.ts';
import type { WireFieldCollector } from '../wire-fields.ts';

export const blockSchema = z.looseObject(
  { type: text('the name of a block type') },
  { error: 'a content block with a type' },
);
export type Block = z.infer<typeof blockSchema>;

const textSchema = z.string({ error: 'a string' });
const sourceSchema = z.looseObject({ type: text('base64, url or file') }, { error: 'an image source' });
const mediaTypeSchema = z
  .string({ error: 'an image media type' })
  .regex(/^image\/[\w.+-]+$/, { error: 'an image media type' });
const base64Schema = z.string({ error: 'base64' }).regex(/^[A-Za-z0-9+/]+={0,2}$/, { error: 'base64' });
const urlSchema = z.string({ error: 'an https: URL' }).regex(/^https:\/\//i, { error: 'an https: URL' });

const TEXT_FIELDS: ReadonlySet<string> = new Set(['type', 'text']);
const IMAGE_FIELDS: ReadonlySet<string> = new Set(['type', 'source']);

/** The system prompt as a leading message; empty when there is none. */
export function parseSystem(
  system: string | readonly unknown[] | undefined,
  collector: WireFieldCollector,
): readonly SystemMessage[] {
  if (system === undefined || system.length === 0) return [];
  if (typeof system === 'string') return [{ role: 'system', content: system }];
  const parts = system.map((value, index) => {
    const block = check(blockSchema, value, `system[${index}]`);
    if (block.type !== 'text') throw refuse(`system[${index}].type`, 'text', block.type);
    return parseBlock(block, `system[${index}]`, collector);
  });
  return [{ role: 'system', content: parts }];
}

/** One block that stands for content. Tool calls, tool results and thinking have their own parsers. */
export function parseBlock(block: Block, path: string, collector: WireFieldCollector): ContentPart {
  switch (block.type) {
    case 'text':
      return {
        type: 'text',
        text: check(textSchema, block['text'], `${path}.text`),
        ...collector.rest(block, TEXT_FIELDS, path),
      };
    case 'image':
      return parseImage(block, path, collector);
    default:
      return collector.part(block, block.type, path);
  }
}

function parseImage(block: JsonObject, path: string, collector: WireFieldCollector): ContentPart {
  const source = check(sourceSchema, block['source'], `${path}.source`);
  const url = readImageUrl(source, `${path}.source`);
  if (url === undefined) return collector.part(block, 'image', path);
  return { type: 'image_url', image_url: { url }, ...collector.rest(block, IMAGE_FIELDS, path) };
}

function readImageUrl(source: JsonObject & { type: string }, path: string): string | undefined {
  switch (source.type) {
    case 'base64': {
      const mediaType = check(mediaTypeSchema, source['media_type'], `${path}.media_type`);
      return `data:${mediaType};base64,${check(base64Schema, source['data'], `${path}.data`)}`;
    }
    case 'url':
      return check(urlSchema, source['url'], `${path}.url`);
    default:
      return undefined;
  }
}
