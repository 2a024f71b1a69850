/**
 * Between a process and the engine of its store: here operations fail before or after their effect, take long, and here a
 * process dies, between two effects. What had an effect is told to the watch, whether or not the process ever heard of it.
 */
import type { Clock } from '../../src/contract/clock.ts';
import { STORE_WAIT_MS } from '../../src/runtime/ask-store.ts';
import type { GroupResult, Operation, OperationResult } from '../../src/stores/sqlite/engine.ts';
import type { Host } from '../../src/stores/sqlite/gateway.ts';
import type { Verdict, Illness } from './faulty-stores.ts';
import type { StoreWatch } from './store-watch.ts';

/** After its `operation`th one, counted from 1, or before it. */
export interface DeathPoint {
  readonly operation: number;
  readonly when: 'before' | 'after';
}

export interface MortalHostDeps {
  readonly life: number;
  readonly watch: StoreWatch;
  readonly illness: Illness;
  readonly isDead: () => boolean;
  /** Ends the process at the operations of these names; false: it is spared. */
  readonly die: (names: readonly string[]) => boolean;
  readonly deathPoint: DeathPoint | undefined;
  readonly clock: Clock;
  /** The process is told now what the last one knew of its providers, or will not be. */
  readonly statesTold: (isHeard: boolean) => void;
}

/** What a dead process hears. */
const SILENCE = new Promise<never>(() => undefined);

export function createMortalHost(inner: Host, deps: MortalHostDeps): Host {
  let operations = 0;
  let parked = 0;
  return {
    ...inner,
    run: async (group) => {
      const { illness, watch, isDead, life } = deps;
      const askedAtMs = deps.clock.nowMs();
      await illness.delay();
      if (isDead()) return SILENCE;
      const verdicts = group.map(({ name }) => illness.judge(name));
      const isLate = deps.clock.nowMs() - askedAtMs >= STORE_WAIT_MS;
      const states = group.findIndex(({ name }) => name === 'loadStates');
      if (states !== -1) deps.statesTold(!isLate && verdicts[states] === 'fine');
      operations += group.length;
      const point = operations >= (deps.deathPoint?.operation ?? Infinity) ? deps.deathPoint : undefined;
      const dies = (when: DeathPoint['when']) => point?.when === when && deps.die(group.map(({ name }) => name));
      if (dies('before')) return SILENCE;
      const reaching = group.filter((_, index) => verdicts[index] !== 'before');
      if (reaching.length > 0) {
        const result = await inner.run(reaching);
        watch.note(life, reaching, result);
        parked = result.parked;
        if (dies('after')) return SILENCE;
        // Time may have passed, or another operation of this turn may have ended the process.
        if (isDead()) return SILENCE;
        return { parked, results: merge(group, verdicts, result) };
      }
      return { parked, results: merge(group, verdicts, { results: [], parked }) };
    },
  };
}

/** What the process hears: the answers of those that failed after their effect are lost. */
function merge(
  group: readonly Operation[],
  verdicts: readonly Verdict[],
  { results }: GroupResult,
): readonly OperationResult[] {
  const answers = results[Symbol.iterator]();
  return group.map(({ name }, index): OperationResult => {
    const verdict = verdicts[index];
    const answer = verdict === 'before' ? undefined : answers.next().value;
    if (verdict === 'fine' && answer !== undefined) return answer;
    return { kind: 'failed', message: `simulated: ${name} failed` };
  });
}
