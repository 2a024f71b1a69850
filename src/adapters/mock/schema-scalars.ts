/** The smallest strings and numbers that a JSON Schema accepts; the rest of the instance is in `schema-instance.ts`. */

export type Schema = Readonly<Record<string, unknown>>;

const FORMAT_EXAMPLES: Readonly<Record<string, string>> = {
  date: '2026-01-01',
  'date-time': '2026-01-01T00:00:00Z',
  time: '00:00:00Z',
  duration: 'P1D',
  email: 'mock@example.com',
  hostname: 'example.com',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1',
  uri: 'https://example.com/',
  url: 'https://example.com/',
  uuid: '00000000-0000-4000-8000-000000000000',
};

/** Gives the shortest string: an example of its format, else as many letters as it must have. */
export function buildString(schema: Schema): string {
  const format = schema['format'];
  const example =
    typeof format === 'string' && Object.hasOwn(FORMAT_EXAMPLES, format) ? FORMAT_EXAMPLES[format] : undefined;
  return example ?? 'x'.repeat(readNumber(schema, 'minLength') ?? 0);
}

/** Gives 0 where it is allowed, else the bound that is nearest to it; `unit` is 1 for integers. */
export function buildNumber(schema: Schema, unit: number | undefined): number {
  const step = readNumber(schema, 'multipleOf') ?? unit;
  const least = readNumber(schema, 'minimum') ?? -Infinity;
  const above = readNumber(schema, 'exclusiveMinimum') ?? -Infinity;
  const most = readNumber(schema, 'maximum') ?? Infinity;
  const below = readNumber(schema, 'exclusiveMaximum') ?? Infinity;
  if (0 >= least && 0 > above && 0 <= most && 0 < below) return 0;
  if (least > 0 || above >= 0)
    return step === undefined ? justAbove(least, above, Math.min(most, below)) : stepUp(least, above, step);
  return step === undefined ? -justAbove(-most, -below, -Math.max(least, above)) : -stepUp(-most, -below, step);
}

/** Reads a keyword whose value is a number. */
export function readNumber(schema: Schema, keyword: string): number | undefined {
  const value = schema[keyword];
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

function justAbove(least: number, above: number, ceiling: number): number {
  if (least > above) return least;
  return Number.isFinite(ceiling) ? (above + ceiling) / 2 : above + 1;
}

function stepUp(least: number, above: number, step: number): number {
  const multiple = Math.ceil(Math.max(least, above) / step) * step;
  return multiple > above ? multiple : multiple + step;
}
