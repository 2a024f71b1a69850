/** Who has to give way when there is no room, found by counting through lists. */
import type { Priority } from '../../src/contract/request.ts';
import type { QueueKey } from '../../src/policy/order.ts';

const PATIENCE: readonly Priority[] = ['high', 'normal', 'low'];

export function patienceOf({ priority }: QueueKey): number {
  return PATIENCE.indexOf(priority);
}

export function isLater(left: QueueKey, right: QueueKey): boolean {
  return left.keyMs > right.keyMs || (left.keyMs === right.keyMs && left.sequence > right.sequence);
}

export function latest(keys: readonly QueueKey[]): QueueKey | undefined {
  return keys.find((key) => keys.every((other) => other === key || isLater(key, other)));
}

/** Which of these has to go; `loser` says from which class. */
export function lastOf(keys: readonly QueueKey[], loser = latest(keys)): QueueKey | undefined {
  if (loser === undefined) return undefined;
  const counted = keys.filter((key) => patienceOf(key) >= patienceOf(loser));
  const heldBy = (tenant: string) => counted.filter((key) => key.tenant === tenant);
  const most = Math.max(...counted.map(({ tenant }) => heldBy(tenant).length));
  const last = latest(counted.filter(({ tenant }) => heldBy(tenant).length === most));
  const later = latest(
    keys.filter((key) => last !== undefined && patienceOf(key) > patienceOf(last) && isLater(key, last)),
  );
  return later === undefined ? last : lastOf(keys, later);
}
