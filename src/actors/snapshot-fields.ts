/**
 * Reads values of which nothing is known: what another version, another machine or a damaged disk may have left. A field that
 * is not what it has to be is told and left out, so that one bad field costs one field. Values are never quoted, only numbers
 * and the kind of everything else: nobody knows what they are.
 */

/** The last moment that a `Date` can hold, epoch ms. */
const TIME_MAX = 8_640_000_000_000_000;
/** More than these are counted and not told one by one. */
const PROBLEMS_MAX = 5;

type Fields = Readonly<Record<string, unknown>>;

export class FieldReader {
  readonly #problems: string[] = [];

  /** What is wrong, in words; undefined when nothing is. */
  get problem(): string | undefined {
    const more = this.#problems.length - PROBLEMS_MAX;
    const told = this.#problems.slice(0, PROBLEMS_MAX).join('; ');
    if (told === '') return undefined;
    return more > 0 ? `${told}; and ${more} more` : told;
  }

  /** Notes that `name` is not what it has to be. */
  reject(name: string, what: string, value: unknown): undefined {
    this.#problems.push(`expected ${name} to be ${what}, got: ${describe(value)}`);
    return undefined;
  }

  fields(name: string, value: unknown): Fields | undefined {
    if (value === undefined) return undefined;
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return this.reject(name, 'an object', value);
    // Everything that is an object and neither null nor an array can be read by name.
    return value as Fields;
  }

  /** At most `max` of them, the last ones. */
  list(name: string, value: unknown, max: number): readonly unknown[] {
    if (Array.isArray(value)) return value.slice(-max);
    if (value !== undefined) this.reject(name, 'a list', value);
    return [];
  }

  /** A moment, epoch ms. */
  time(name: string, value: unknown): number | undefined {
    return this.#number(name, value, { what: 'a time in epoch ms', min: 0, max: TIME_MAX });
  }

  /** A whole number from 1. */
  count(name: string, value: unknown): number | undefined {
    const what = 'a whole number from 1';
    if (value !== undefined && !Number.isSafeInteger(value)) return this.reject(name, what, value);
    return this.#number(name, value, { what, min: 1, max: Number.MAX_SAFE_INTEGER });
  }

  /** A number above 0. */
  rate(name: string, value: unknown): number | undefined {
    return this.#number(name, value, { what: 'a number above 0', min: Number.MIN_VALUE, max: Number.MAX_VALUE });
  }

  /** False when left out. */
  flag(name: string, value: unknown): boolean {
    if (value !== undefined && typeof value !== 'boolean') this.reject(name, 'true or false', value);
    return value === true;
  }

  /** Cut off after `lengthMax` characters. */
  text(name: string, value: unknown, lengthMax: number): string | undefined {
    if (value === undefined) return undefined;
    return typeof value === 'string' ? value.slice(0, lengthMax) : this.reject(name, 'a text', value);
  }

  #number(
    name: string,
    value: unknown,
    { what, min, max }: { readonly what: string; readonly min: number; readonly max: number },
  ): number | undefined {
    if (value === undefined) return undefined;
    return typeof value === 'number' && value >= min && value <= max ? value : this.reject(name, what, value);
  }
}

function describe(value: unknown): string {
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return String(value);
  return Array.isArray(value) ? 'a list' : `a value of type ${typeof value}`;
}
