/** Engines of a store that do their work and do not get to say so. */
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { Host } from '../../src/stores/sqlite/gateway.ts';
import type { OperationName } from '../../src/stores/sqlite/operations.ts';

export type WrapHost = (host: Host, die: () => void) => Host;

/** The process dies when so many groups were committed; nobody hears of the last. */
export function dyingAfter(groupsMax: number): WrapHost {
  return (host, die) => {
    let groups = 0;
    return {
      ...host,
      run: async (group) => {
        const result = await host.run(group);
        groups += 1;
        if (groups === groupsMax) die();
        return result;
      },
    };
  };
}

/** Of the operations of this name, the one with this number is committed and its answer is lost. */
export function losingNth(name: OperationName, number: number): WrapHost {
  return (host) => {
    let seen = 0;
    return {
      ...host,
      run: async (group) => {
        const result = await host.run(group);
        if (!group.some((operation) => operation.name === name)) return result;
        seen += 1;
        if (seen === number) throw new SwitchgearError('store-unavailable', 'the answer was lost');
        return result;
      },
    };
  };
}

/** Operations of these names are committed and their answer is lost, once for each name given. */
export function losing(...names: readonly OperationName[]): WrapHost {
  return (host) => {
    const lost = [...names];
    return {
      ...host,
      run: async (group) => {
        const result = await host.run(group);
        const index = lost.findIndex((name) => group.some((operation) => operation.name === name));
        if (index === -1) return result;
        lost.splice(index, 1);
        throw new SwitchgearError('store-unavailable', 'the answer was lost');
      },
    };
  };
}
