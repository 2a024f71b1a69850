/** An engine of a store that tells what it is asked, and lets a test step in between. */
import type { Operation } from '../../src/stores/sqlite/engine.ts';
import type { Host } from '../../src/stores/sqlite/gateway.ts';
import type { OperationName } from '../../src/stores/sqlite/operations.ts';

export class WatchedHost {
  /** What was asked for, a list for each transaction. */
  groups: (readonly OperationName[])[] = [];
  /** Called before a group is run; may throw. */
  before: (group: readonly Operation[]) => void = () => {};
  /** Called once a group is committed and nobody knows it yet; may throw. */
  after: (group: readonly Operation[]) => void = () => {};

  readonly wrap = (host: Host): Host => ({
    ...host,
    run: async (group) => {
      this.groups.push(group.map(({ name }) => name));
      this.before(group);
      const result = await host.run(group);
      this.after(group);
      return result;
    },
  });

  /** How often operations of this name were asked for. */
  countOf(name: OperationName): number {
    return this.groups.flat().filter((each) => each === name).length;
  }
}
