/** The smallest instance of a JSON Schema, which is what the mock and the simulator answer structured requests with. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { buildInstance } from '../../src/adapters/mock/schema-instance.ts';

describe('the smallest instance', () => {
  test.each<[string, Record<string, unknown>, unknown]>([
    ['an empty schema', {}, null],
    ['a constant', { const: { a: 1 } }, { a: 1 }],
    ['an enum', { enum: ['x', 'y'] }, 'x'],
    [
      'required properties only',
      { type: 'object', properties: { a: { type: 'string' }, b: { type: 'string' } }, required: ['b'] },
      { b: '' },
    ],
    ['a required property without a schema', { type: 'object', required: ['a'] }, { a: null }],
    ['a list with a minimum', { type: 'array', items: { type: 'boolean' }, minItems: 2 }, [false, false]],
    ['a tuple', { type: 'array', prefixItems: [{ const: 'a' }], items: { const: 'b' }, minItems: 3 }, ['a', 'b', 'b']],
    ['a string with a minimum', { type: 'string', minLength: 3 }, 'xxx'],
    ['a format', { type: 'string', format: 'email' }, 'mock@example.com'],
    ['the first of several types', { type: ['integer', 'null'] }, 0],
    ['a lower bound', { type: 'integer', minimum: 18 }, 18],
    ['an exclusive lower bound', { type: 'integer', exclusiveMinimum: 18 }, 19],
    ['an exclusive bound at zero', { type: 'integer', exclusiveMinimum: 0 }, 1],
    ['an upper bound below zero', { type: 'integer', maximum: -3 }, -3],
    ['an exclusive upper bound below zero', { type: 'integer', exclusiveMaximum: -3 }, -4],
    ['a multiple', { type: 'integer', minimum: 5, multipleOf: 4 }, 8],
    ['between two fractions', { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 }, 0.5],
    ['between two fractions below zero', { type: 'number', exclusiveMinimum: -1, exclusiveMaximum: 0 }, -0.5],
    ['a bound without a type', { minimum: 2 }, 2],
    ['the first possible branch', { anyOf: [false, { enum: [] }, { const: 'b' }] }, 'b'],
    [
      'a branch beside properties',
      {
        type: 'object',
        properties: { a: { const: 1 } },
        required: ['a'],
        oneOf: [{ properties: { b: { const: 2 } }, required: ['b'] }],
      },
      { a: 1, b: 2 },
    ],
    [
      'all of several',
      {
        allOf: [
          { type: 'object', properties: { a: { const: 1 } }, required: ['a'] },
          { properties: { b: { const: 2 } }, required: ['b'] },
        ],
      },
      { a: 1, b: 2 },
    ],
    [
      'a reference',
      {
        $defs: { 'a/b': { const: 'r' } },
        type: 'object',
        properties: { x: { $ref: '#/$defs/a~1b' } },
        required: ['x'],
      },
      { x: 'r' },
    ],
    ['a property named __proto__', { type: 'object', required: ['__proto__'] }, JSON.parse('{"__proto__":null}')],
    ['nothing at all', { enum: [] }, null],
  ])('of %s', (_name, schema, expected) => {
    const instance = buildInstance(schema);
    expect(instance).toEqual(expected);
    expect(JSON.stringify(instance)).toBe(JSON.stringify(expected));
  });

  test('of a recursive schema takes the branch that ends', () => {
    const schema = {
      $defs: {
        node: {
          type: 'object',
          properties: { value: { type: 'integer' }, next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] } },
          required: ['value', 'next'],
        },
      },
      $ref: '#/$defs/node',
    };
    let node = buildInstance(schema) as { value: number; next: unknown } | null;
    for (let depth = 0; node !== null; depth += 1) {
      expect(depth).toBeLessThan(24);
      expect(node.value).toBe(0);
      node = node.next as typeof node;
    }
  });

  test('of a schema that can never end is null, and comes soon', () => {
    const endless = { type: 'object', properties: { a: { $ref: '#' }, b: { $ref: '#' } }, required: ['a', 'b'] };
    expect(buildInstance(endless)).toBeNull();
    const wide = { anyOf: [{ $ref: '#' }, { $ref: '#' }, { $ref: '#' }] };
    expect(buildInstance(wide)).toBeNull();
    expect(buildInstance({ $ref: '#/$defs/none' })).toBeNull();
    expect(buildInstance({ type: 'array', minItems: 1e9, items: {} })).toBeNull();
    expect(buildInstance({ type: 'string', minLength: 1e9 })).toBeNull();
  });

  test.each([
    [
      'a person',
      z.object({
        name: z.string().min(1),
        age: z.int().min(18).max(99),
        email: z.email(),
        role: z.enum(['admin', 'user']),
        tags: z.array(z.string().min(2)).min(2),
        note: z.string().optional(),
      }),
    ],
    [
      'a union of objects',
      z.discriminatedUnion('kind', [
        z.object({ kind: z.literal('circle'), radius: z.number().positive() }),
        z.object({ kind: z.literal('square'), side: z.number().gt(2).lt(3) }),
      ]),
    ],
    [
      'nullable and nested',
      z.object({
        parent: z.object({ id: z.uuid(), at: z.iso.datetime() }).nullable(),
        flags: z.record(z.string(), z.boolean()),
        pair: z.tuple([z.string(), z.int().negative()]),
      }),
    ],
  ])('of a schema that zod wrote for %s satisfies zod', (_name, schema) => {
    const instance = buildInstance(z.toJSONSchema(schema));
    expect(schema.safeParse(instance)).toMatchObject({ success: true });
  });
});
