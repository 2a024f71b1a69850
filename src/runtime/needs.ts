/** What a request needs of a provider, read off its shape. */
import type { Feature } from '../contract/adapter.ts';
import type { ContentPart, Message, ParsedCompletion, ParsedRequest, WireFields } from '../contract/request.ts';

/** Features without which the request cannot be served as asked. Hints such as `seed` are not among them. */
export function neededFeatures(request: ParsedRequest, mode: 'sync' | 'async' | 'stream'): readonly Feature[] {
  const needed = new Set<Feature>();
  for (const fields of wireFieldsOf(request)) needed.add(`wire:${fields.wire}`);
  if (request.kind === 'embedding') return ['embedding', ...needed];
  needed.add(mode === 'stream' ? 'stream' : 'completion');
  if (request.tools !== undefined && request.tools.length > 0) needed.add('tools');
  if (request.messages.some(hasImage)) needed.add('images');
  if (request.responseFormat?.type === 'json') needed.add('json');
  if (request.responseFormat?.type === 'json-schema') needed.add('json-schema');
  return [...needed];
}

/** The names of the fields that only one wire can carry, as the caller wrote them. */
export function wireFieldNames(request: ParsedRequest): readonly string[] {
  return [...new Set(wireFieldsOf(request).flatMap((fields) => Object.keys(fields.fields)))];
}

function wireFieldsOf(request: ParsedRequest): readonly WireFields[] {
  const own = request.wireFields === undefined ? [] : [request.wireFields];
  return request.kind === 'embedding' ? own : [...own, ...nestedWireFields(request)];
}

function nestedWireFields(request: ParsedCompletion): readonly WireFields[] {
  const found: WireFields[] = [];
  const note = (fields: WireFields | undefined) => {
    if (fields !== undefined) found.push(fields);
  };
  for (const message of request.messages) {
    note(message.wireFields);
    for (const part of partsOf(message)) note(part.wireFields);
  }
  for (const tool of request.tools ?? []) note(tool.wireFields);
  return found;
}

function hasImage(message: Message): boolean {
  return partsOf(message).some((part) => part.type === 'image_url');
}

function partsOf({ content }: Message): readonly ContentPart[] {
  return typeof content === 'string' || content === undefined || content === null ? [] : content;
}
