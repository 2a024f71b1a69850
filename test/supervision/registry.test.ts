import { describe, expect, test } from 'vitest';

import { Registry } from '../../src/supervision/registry.ts';
import { ScriptedProcess } from '../support/scripted-process.ts';

describe('the registry', () => {
  test('finds the process of a name, and the newest when there were several', () => {
    const registry = new Registry();
    const [first, second] = [new ScriptedProcess('a', 1), new ScriptedProcess('a', 2)];
    registry.register(first);
    expect(registry.find('a')).toBe(first);
    registry.register(second);
    expect(registry.find('a')).toBe(second);
  });

  test('a process that ended late does not take the name from its successor', () => {
    const registry = new Registry();
    const [first, second] = [new ScriptedProcess('a', 1), new ScriptedProcess('a', 2)];
    registry.register(first);
    registry.register(second);
    registry.unregister(first);
    expect(registry.find('a')).toBe(second);
    registry.unregister(second);
    expect(registry.find('a')).toBeUndefined();
  });

  test('whoever waits for a name is woken when it is registered, everybody at once', async () => {
    const registry = new Registry();
    const { signal } = new AbortController();
    const waits = [registry.waitFor('a', signal), registry.waitFor('a', signal)];
    registry.register(new ScriptedProcess('a', 1));
    expect(await Promise.all([...waits, registry.waitFor('a', signal)])).toHaveLength(3);
  });

  test('whoever leaves is told why and disturbs nobody', async () => {
    const registry = new Registry();
    const leaving = new AbortController();
    const left = registry.waitFor('a', leaving.signal);
    const stayed = registry.waitFor('a', new AbortController().signal);
    leaving.abort(new Error('gone'));
    await expect(left).rejects.toThrow('gone');
    await expect(registry.waitFor('a', leaving.signal)).rejects.toThrow('gone');
    registry.register(new ScriptedProcess('a', 1));
    await stayed;
  });

  test('a name that is freed is waited for again', async () => {
    const registry = new Registry();
    const process = new ScriptedProcess('a', 1);
    registry.register(process);
    registry.unregister(process);
    let isWoken = false;
    const waited = registry.waitFor('a', new AbortController().signal).then(() => {
      isWoken = true;
    });
    await Promise.resolve();
    expect(isWoken).toBe(false);
    registry.register(new ScriptedProcess('a', 2));
    await waited;
  });
});
