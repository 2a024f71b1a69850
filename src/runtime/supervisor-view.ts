/** What an operator sees of the tree and may do to it. */
import { SupervisorError } from '../supervision/process.ts';
import type { Tree } from '../actors/tree.ts';
import { SwitchgearError } from '../contract/errors.ts';
import type { SupervisorView } from '../contract/service.ts';

/** The tree as an operator sees it. */
export function createSupervisorView(tree: Tree): SupervisorView {
  return {
    children: () => tree.children(),
    suspend: (id) =>
      asOperator(() => {
        tree.suspend(id);
      }),
    resume: (id) =>
      asOperator(() => {
        tree.resume(id);
      }),
    restart: (id) => asOperator(() => tree.restart(id)),
  };
}

/** What the tree cannot do is told in the one error type that leaves the package. */
async function asOperator(act: () => void | Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof SupervisorError)) throw error;
    if (error.code === 'stopped') throw new SwitchgearError('shutting-down', error.message, { cause: error });
    throw new SwitchgearError('invalid-request', error.message, { param: 'id', cause: error });
  }
}
