/** What OTP's supervisor does about an exit, decided from what it knows and nothing else. */
import type { AutoShutdown, RestartType, Strategy } from './child-spec.ts';
import { type ExitReason, isOrderly } from './process.ts';

export function isRestartedAfter(restart: RestartType, reason: ExitReason): boolean {
  switch (restart) {
    case 'permanent':
      return true;
    case 'temporary':
      return false;
    case 'transient':
      return !isOrderly(reason);
  }
}

/** Who is stopped and started with `pivot`, itself included; in the order in which `children` are. */
export function restartedWith<Child>(strategy: Strategy, children: readonly Child[], pivot: Child): readonly Child[] {
  switch (strategy) {
    case 'one-for-one':
      return [pivot];
    case 'one-for-all':
      return children;
    case 'rest-for-one':
      return children.slice(children.indexOf(pivot));
  }
}

/** Whether the end of a child that is not restarted ends its supervisor; `others` are those that are left. */
export function endsSupervisor(
  autoShutdown: AutoShutdown,
  ended: { readonly significant?: boolean },
  others: readonly { readonly significant?: boolean; readonly isActive: boolean }[],
): boolean {
  if (ended.significant !== true) return false;
  switch (autoShutdown) {
    case 'never':
      return false;
    case 'any-significant':
      return true;
    case 'all-significant':
      return !others.some(({ significant, isActive }) => significant === true && isActive);
  }
}
