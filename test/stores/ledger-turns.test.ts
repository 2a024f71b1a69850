import { describe, expect, test } from 'vitest';
import { LedgerTurns } from '../../src/stores/sqlite/ledger-turns.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';

/** Turns that end when they are told, and a list of what has begun and ended. */
class Rig {
  readonly turns = new LedgerTurns();
  readonly seen: string[] = [];
  readonly #clock = new VirtualClock();
  readonly #ends = new Map<string, (error?: Error) => void>();

  ask(kind: 'together' | 'alone', name: string): Promise<string> {
    return this.turns[kind](async () => {
      this.seen.push(name);
      await new Promise<void>((resolve, reject) => {
        this.#ends.set(name, (error) => {
          if (error === undefined) resolve();
          else reject(error);
        });
      });
      return name;
    });
  }

  async end(name: string, error?: Error): Promise<readonly string[]> {
    this.#ends.get(name)?.(error);
    return this.begun();
  }

  async begun(): Promise<readonly string[]> {
    await this.#clock.settle();
    return this.seen.splice(0);
  }
}

describe('turns', () => {
  test('together begin at once, side by side', async () => {
    const rig = new Rig();
    const both = [rig.ask('together', 'a'), rig.ask('together', 'b')];
    expect(await rig.begun()).toEqual(['a', 'b']);
    await rig.end('b');
    await rig.end('a');
    expect(await Promise.all(both)).toEqual(['a', 'b']);
  });

  test('alone wait for all who have come before, and nobody overtakes them', async () => {
    const rig = new Rig();
    const all = (['together', 'together', 'alone', 'together', 'alone', 'alone', 'together'] as const).map(
      (kind, index) => rig.ask(kind, `${index}`),
    );
    expect(await rig.begun()).toEqual(['0', '1']);
    expect(await rig.end('0')).toEqual([]);
    expect(await rig.end('1')).toEqual(['2']);
    expect(await rig.end('2')).toEqual(['3']);
    expect(await rig.end('3')).toEqual(['4']);
    expect(await rig.end('4')).toEqual(['5']);
    expect(await rig.end('5')).toEqual(['6']);
    await rig.end('6');
    expect(await Promise.all(all)).toEqual(['0', '1', '2', '3', '4', '5', '6']);
  });

  test.each(['together', 'alone'] as const)(
    'that fail %s say so to whoever asked, and hold up nobody',
    async (kind) => {
      const rig = new Rig();
      const failing = rig.ask(kind, 'failing');
      const next = [rig.ask('alone', 'alone'), rig.ask('together', 'together')];
      await rig.begun();
      const failed = failing.catch((error: unknown) => String(error));
      expect(await rig.end('failing', new Error('broken'))).toEqual(['alone']);
      expect(await failed).toBe('Error: broken');
      expect(await rig.end('alone')).toEqual(['together']);
      await rig.end('together');
      expect(await Promise.all(next)).toEqual(['alone', 'together']);
    },
  );
});
