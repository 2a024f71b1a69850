/**
 * The smallest value that a JSON Schema accepts: required properties only, the first enum member, the lower bound. It is
 * what the mock and the simulator answer when a request asks for structured output or when they call a tool, so that code
 * which parses the answer meets something valid. `pattern`, `not` and `if` are not understood. Schemas come from callers:
 * depth, length and work are bounded, and what lies past a bound counts as impossible.
 */
import { buildNumber, buildString, readNumber, type Schema } from './schema-scalars.ts';

/** Recursive schemas are followed this deep; past it another branch is taken. */
const depthMax = 24;
/** Longest string or list that `minLength` or `minItems` may ask for. */
const lengthMax = 1_000;
/** Subschemas looked at in all. */
const visitsMax = 10_000;

/** A value, or undefined when the schema accepts none within the bounds. */
type Found = { readonly value: unknown } | undefined;

interface Search {
  readonly root: Schema;
  visits: number;
}

/** Gives the smallest instance of `schema`, or null where it accepts nothing that can be found within the bounds. */
export function buildInstance(schema: Schema): unknown {
  return find(schema, { root: schema, visits: 0 }, 0)?.value ?? null;
}

function find(schema: unknown, search: Search, depth: number): Found {
  search.visits += 1;
  if (depth > depthMax || search.visits > visitsMax) return undefined;
  if (schema === true) return { value: null };
  if (!isSchema(schema)) return undefined;
  if ('const' in schema) return { value: schema['const'] };
  const members = schema['enum'];
  if (Array.isArray(members)) return members.length > 0 ? { value: members[0] } : undefined;
  const reference = schema['$ref'];
  if (typeof reference === 'string') return find(resolve(reference, search.root), search, depth + 1);
  const branches = schema['anyOf'] ?? schema['oneOf'];
  if (Array.isArray(branches))
    return findFirst(
      branches.map((branch) => merge(schema, branch, search.root)),
      search,
      depth,
    );
  const parts = schema['allOf'];
  if (Array.isArray(parts))
    return find(
      parts.reduce<unknown>((whole, part) => merge(whole, part, search.root), omit(schema, 'allOf')),
      search,
      depth + 1,
    );
  return findOfType(schema, search, depth);
}

function findFirst(candidates: readonly unknown[], search: Search, depth: number): Found {
  for (const candidate of candidates) {
    const found = find(candidate, search, depth + 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

function findOfType(schema: Schema, search: Search, depth: number): Found {
  const type = schema['type'] ?? guessType(schema);
  if (Array.isArray(type))
    return findFirst(
      type.map((name: unknown) => ({ ...schema, type: name })),
      search,
      depth,
    );
  switch (type) {
    case 'object':
      return findObject(schema, search, depth);
    case 'array':
      return findArray(schema, search, depth);
    case 'string':
      return (readNumber(schema, 'minLength') ?? 0) > lengthMax ? undefined : { value: buildString(schema) };
    case 'integer':
      return { value: buildNumber(schema, 1) };
    case 'number':
      return { value: buildNumber(schema, undefined) };
    case 'boolean':
      return { value: false };
    default:
      return type === 'null' || type === undefined ? { value: null } : undefined;
  }
}

function guessType(schema: Schema): string | undefined {
  if ('properties' in schema || 'required' in schema) return 'object';
  if ('items' in schema || 'prefixItems' in schema || 'minItems' in schema) return 'array';
  if ('minLength' in schema || 'format' in schema || 'pattern' in schema) return 'string';
  if ('minimum' in schema || 'maximum' in schema || 'multipleOf' in schema) return 'number';
  return undefined;
}

function findObject(schema: Schema, search: Search, depth: number): Found {
  const properties = isSchema(schema['properties']) ? schema['properties'] : {};
  const required: readonly unknown[] = Array.isArray(schema['required']) ? schema['required'] : [];
  const entries: [string, unknown][] = [];
  for (const name of required) {
    if (typeof name !== 'string') continue;
    const property = Object.hasOwn(properties, name) ? properties[name] : (schema['additionalProperties'] ?? true);
    const found = find(property, search, depth + 1);
    if (found === undefined) return undefined;
    entries.push([name, found.value]);
  }
  // `fromEntries` defines properties, so that one named __proto__ stays a property.
  return { value: Object.fromEntries(entries) };
}

function findArray(schema: Schema, search: Search, depth: number): Found {
  const leading: readonly unknown[] = Array.isArray(schema['prefixItems']) ? schema['prefixItems'] : [];
  const length = readNumber(schema, 'minItems') ?? 0;
  if (length > lengthMax) return undefined;
  const value: unknown[] = [];
  for (let index = 0; index < length; index += 1) {
    const found = find(leading[index] ?? schema['items'] ?? true, search, depth + 1);
    if (found === undefined) return undefined;
    value.push(found.value);
  }
  return { value };
}

/** Follows `#`, `#/$defs/Name` and other pointers inside the document. */
function resolve(reference: string, root: Schema): unknown {
  if (!reference.startsWith('#')) return undefined;
  let place: unknown = root;
  for (const step of reference.slice(1).split('/').slice(1)) {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof place !== 'object' || place === null || !Object.hasOwn(place, name)) return undefined;
    // Checked above: an object with this own property.
    place = (place as Readonly<Record<string, unknown>>)[name];
  }
  return place;
}

/** The schema that asks for both; a reference is followed, so that what it requires is not lost. */
function merge(whole: unknown, part: unknown, root: Schema): unknown {
  const other = isSchema(part) && typeof part['$ref'] === 'string' ? resolve(part['$ref'], root) : part;
  if (!isSchema(whole) || other === false) return other === false ? false : whole;
  const base = omit(omit(whole, 'anyOf'), 'oneOf');
  if (!isSchema(other)) return base;
  const required = [base['required'], other['required']].filter((names) => Array.isArray(names)).flat();
  const properties = { ...toSchema(base['properties']), ...toSchema(other['properties']) };
  return {
    ...base,
    ...other,
    ...(required.length > 0 && { required: [...new Set(required)] }),
    ...(Object.keys(properties).length > 0 && { properties }),
  };
}

function omit(schema: Schema, keyword: string): Schema {
  const { [keyword]: _omitted, ...rest } = schema;
  return rest;
}

function toSchema(value: unknown): Schema {
  return isSchema(value) ? value : {};
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
