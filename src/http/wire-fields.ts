/**
 * Collects the fields of a body that the unified request has no name for. Each stays at the level where it stood (request,
 * message, part or tool); the request's own `wireFields` holds the values of its level and the names of all others, so that
 * the runtime keeps to candidates of that wire and can say which field made it do so. A field set to null is an absent one.
 */
import type { WireFields, WirePart } from '../contract/request.ts';
import { type JsonObject, join } from './check.ts';
import type { WireName } from './wire.ts';

export class WireFieldCollector {
  readonly #wire: WireName;
  readonly #names: string[] = [];

  constructor(wire: WireName) {
    this.#wire = wire;
  }

  /** The fields of one object that are not `modelled`, as `wireFields` to spread into it. */
  rest(value: JsonObject, modelled: ReadonlySet<string>, path: string): { wireFields?: WireFields } {
    return this.carry(Object.fromEntries(Object.entries(value).filter(([name]) => !modelled.has(name))), path);
  }

  /** These fields, as `wireFields` to spread into the object at `path`. */
  carry(fields: JsonObject, path: string): { wireFields?: WireFields } {
    const present = Object.entries(fields).filter(([, field]) => field !== null && field !== undefined);
    if (present.length === 0) return {};
    for (const [name] of present) this.#names.push(join(path, name));
    return { wireFields: { wire: this.#wire, fields: Object.fromEntries(present) } };
  }

  /** A content part we do not model, by its type or by the field that makes it so. */
  part(value: JsonObject, name: string, path: string): WirePart {
    this.#names.push(join(path, name));
    return { type: 'wire', wireFields: { wire: this.#wire, fields: value } };
  }

  /** The request's own `wireFields`: its fields, and the names of those below with no value. */
  finish(fields: JsonObject): { wireFields?: WireFields } {
    const present = Object.entries(fields).filter(([, field]) => field !== null && field !== undefined);
    if (present.length === 0 && this.#names.length === 0) return {};
    const names = this.#names.map((name): [string, unknown] => [name, undefined]);
    return { wireFields: { wire: this.#wire, fields: Object.fromEntries([...names, ...present]) } };
  }
}

/** Fields by which a body would choose where a request goes, and with which key. Only the operator decides that. */
const ROUTING_FIELDS = [
  'api_base',
  'api_key',
  'apiKey',
  'api_version',
  'base_url',
  'baseURL',
  'custom_llm_provider',
  'extra_headers',
  'headers',
  'fallbacks',
  'organization',
  'proxy',
];

/** The first field of a body that tries to route, if any. */
export function findRoutingField(body: JsonObject): string | undefined {
  return ROUTING_FIELDS.find((name) => Object.hasOwn(body, name));
}
