/** Content of OpenAI messages: a string, or parts. Text and images are ours too; audio, files and the rest are carried. */
import { z } from 'zod';
import type { ContentPart } from '../../contract/request.ts';
import { check, type JsonObject, refuse, text } from '../check.ts';
import type { WireFieldCollector } from '../wire-fields.ts';

const contentSchema = z.union([z.string(), z.array(z.unknown()).min(1)], {
  error: 'a string or an array of at least one part',
});
const partSchema = z.looseObject({ type: text('the name of a part type') }, { error: 'a content part with a type' });
const textSchema = z.string({ error: 'a string' });
const imageSchema = z.looseObject(
  { url: text(), detail: z.string({ error: 'auto, low or high' }).nullish() },
  { error: 'an object with a url' },
);

const TEXT_FIELDS: ReadonlySet<string> = new Set(['type', 'text']);
const IMAGE_FIELDS: ReadonlySet<string> = new Set(['type', 'image_url']);
const IMAGE_URL_PATTERN = /^(?:https:\/\/|data:[\w.+-]+\/[\w.+-]+;base64,)/i;

/** @throws {SwitchgearError} `invalid-request` naming the field */
export function parseContent(
  value: unknown,
  path: string,
  collector: WireFieldCollector,
): string | readonly ContentPart[] {
  const content = check(contentSchema, value, path);
  return typeof content === 'string' ? content : parseParts(content, path, collector);
}

/** Parts of one message. Refusal parts go to `refusals` where the role may have them. */
export function parseParts(
  values: readonly unknown[],
  path: string,
  collector: WireFieldCollector,
  refusals?: string[],
): readonly ContentPart[] {
  const parts: ContentPart[] = [];
  for (const [index, value] of values.entries()) {
    const part = check(partSchema, value, `${path}[${index}]`);
    if (part.type === 'refusal' && refusals !== undefined) {
      refusals.push(check(textSchema, part['refusal'], `${path}[${index}].refusal`));
    } else {
      parts.push(parsePart(part, `${path}[${index}]`, collector));
    }
  }
  return parts;
}

function parsePart(part: JsonObject & { type: string }, path: string, collector: WireFieldCollector): ContentPart {
  switch (part.type) {
    case 'text':
      return {
        type: 'text',
        text: check(textSchema, part['text'], `${path}.text`),
        ...collector.rest(part, TEXT_FIELDS, path),
      };
    case 'image_url':
      return parseImage(part, path, collector);
    default:
      return collector.part(part, part.type, path);
  }
}

function parseImage(part: JsonObject, path: string, collector: WireFieldCollector): ContentPart {
  const { url, detail, ...more } = check(imageSchema, part['image_url'], `${path}.image_url`);
  if (!IMAGE_URL_PATTERN.test(url)) throw refuse(`${path}.image_url.url`, 'an https: URL or a base64 data: URL', url);
  const known = detail ?? undefined;
  const isModelled =
    (known === undefined || known === 'auto' || known === 'low' || known === 'high') && Object.keys(more).length === 0;
  if (!isModelled) return collector.part(part, 'image_url', path);
  return {
    type: 'image_url',
    image_url: { url, ...(known !== undefined && { detail: known }) },
    ...collector.rest(part, IMAGE_FIELDS, path),
  };
}
