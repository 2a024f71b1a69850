/** Plain values as Erlang terms: strings become atoms, objects maps. */

/** Renders JSON-like values, whose strings hold no quotes. */
export function toErlang(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value)) return `[${value.map(toErlang).join(',')}]`;
  if (typeof value !== 'object' || value === null) throw new TypeError(`expected a plain value, got: ${String(value)}`);
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  return `#{${entries.map(([key, member]) => `'${key}' => ${toErlang(member)}`).join(',')}}`;
}
