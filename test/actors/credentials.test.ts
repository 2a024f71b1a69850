import { describe, expect, test } from 'vitest';

import {
  createCredential,
  type CredentialMemory,
  isBlocked,
  isBlockedForGood,
  keepCredentials,
  newlyBlocked,
  nextCredential,
  pickCredential,
} from '../../src/actors/credentials.ts';

const key = (id: string, changes: Partial<CredentialMemory> = {}): CredentialMemory => ({
  ...createCredential(id, 1),
  ...changes,
});
const held = (id: string, heldUntilMs: number) => key(id, { heldUntilMs });
const exhausted = (id: string, blockedUntilMs?: number) => key(id, { blocked: 'quota-exhausted', blockedUntilMs });

describe('a new list of keys', () => {
  const before = [
    { id: 'a', apiKey: 'key-1' },
    { id: 'b', apiKey: 'key-2' },
  ];
  const known = [held('a', 7), key('b', { version: 4 })];

  test('keeps what is known of a key that stays, as it is', () => {
    expect(keepCredentials(known, before, before)).toEqual(known);
    expect(keepCredentials(known, before, before.slice(1))).toEqual(known.slice(1));
  });

  test('keeps what is known of a key that moved, under its new name, and trusts no report on the old one', () => {
    const after = [
      { id: 'a', apiKey: 'key-2' },
      { id: 'b', apiKey: 'key-1' },
    ];
    expect(keepCredentials(known, before, after)).toEqual([
      key('a', { version: 5 }),
      key('b', { version: 5, heldUntilMs: 7 }),
    ]);
  });

  test('begins anew with a key that is new, also under a name that is not', () => {
    expect(keepCredentials(known, before, [{ id: 'a', apiKey: 'key-3' }])).toEqual([key('a', { version: 5 })]);
    expect(keepCredentials([], [], [{ id: 'a', apiKey: 'key-1' }])).toEqual([key('a')]);
  });
});

describe('a key', () => {
  test.each<[string, CredentialMemory, boolean, boolean]>([
    ['that nothing is known of', key('a'), false, false],
    ['that is held', held('a', 1_000), false, false],
    ['that an operator has to mend', exhausted('a'), true, true],
    ['whose reset is a millisecond away', exhausted('a', 501), true, false],
    ['whose reset has come', exhausted('a', 500), false, false],
    ['whose block is over for long', exhausted('a', 1), false, false],
    // What a block leaves behind must not block.
    ['without a block and with a time for it', key('a', { blockedUntilMs: 1_000 }), false, false],
  ])('%s is, half a second after the start, out %s and for good %s', (_name, credential, isOut, isForGood) => {
    expect(isBlocked(credential, 500)).toBe(isOut);
    expect(isBlockedForGood(credential)).toBe(isForGood);
  });

  test('is newly out when it was not out before', () => {
    const names = (before: readonly CredentialMemory[], after: readonly CredentialMemory[]) =>
      newlyBlocked(before, after, 500).map(({ id }) => id);
    const usable = [key('a'), key('b')];
    expect(names(usable, usable)).toEqual([]);
    expect(names(usable, [key('a'), exhausted('b')])).toEqual(['b']);
    expect(names([key('a'), exhausted('b')], [exhausted('a'), exhausted('b')])).toEqual(['a']);
    expect(names([exhausted('a', 500), key('b')], [exhausted('a', 900), exhausted('b', 500)])).toEqual(['a']);
  });
});

describe('of several keys', () => {
  test.each<[string, readonly CredentialMemory[], string | undefined, number | undefined]>([
    ['the first free one', [key('a'), key('b')], 'a', 0],
    ['the free one', [held('a', 900), key('b')], 'b', 0],
    ['the one that is free first', [held('a', 900), held('b', 800)], 'b', 300],
    ['the one whose money is there first', [held('a', 900), exhausted('b', 700)], 'b', 200],
    ['the first of two that are free together', [held('a', 700), exhausted('b', 700)], 'a', 200],
    [
      'the later of both times of one',
      [key('a', { heldUntilMs: 900, blocked: 'quota-exhausted', blockedUntilMs: 700 })],
      'a',
      400,
    ],
    ['the one that needs no operator', [exhausted('a'), held('b', 900)], 'b', 400],
    ['none where all need one', [exhausted('a'), exhausted('b')], undefined, undefined],
    ['none where there is none', [], undefined, undefined],
  ])('%s is next', (_name, credentials, id, waitMs) => {
    const next = nextCredential(credentials, 500);
    expect([next?.credential.id, next?.waitMs]).toEqual([id, waitMs]);
  });

  test.each<[string, readonly CredentialMemory[], readonly string[], string | undefined]>([
    ['the first', [key('a'), key('b')], [], 'a'],
    ['one that is not avoided', [key('a'), key('b')], ['a'], 'b'],
    ['an avoided one where there is no other', [key('a'), held('b', 501)], ['a'], 'a'],
    ['one whose gate clears now', [held('a', 500), key('b')], [], 'a'],
    ['one that is not out', [exhausted('a'), key('b')], [], 'b'],
    ['none that is held', [held('a', 501)], [], undefined],
  ])('%s is picked', (_name, credentials, avoid, id) => {
    expect(pickCredential(credentials, new Set(avoid), 500)?.id).toBe(id);
  });
});
