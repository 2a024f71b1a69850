/**
 * Between a process and the engine of its store: here operations fail before or after their effect, take long, and here a
 * process dies, between two effects. What had an effect is told to the watch, whether or not the process ever heard of it.
 */
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
  /** Ends the process; `names` are the operations it dies at. */
  readonly die: (when: DeathPoint['when'], names: readonly string[]) => void;
  readonly deathPoint: DeathPoint | undefined;
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
      await illness.delay();
      if (isDead()) return SILENCE;
      const verdicts = group.map(({ name }) => illness.judge(name));
      operations += group.length;
      const point = operations >= (deps.deathPoint?.operation ?? Infinity) ? deps.deathPoint : undefined;
      if (point?.when === 'before') return die(deps, point, group);
      const reaching = group.filter((_, index) => verdicts[index] !== 'before');
      if (reaching.length > 0) {
        const result = await inner.run(reaching);
        watch.note(life, reaching, result);
        parked = result.parked;
        if (point !== undefined) return die(deps, point, group);
        // Time may have passed, or another operation of this turn may have ended the process.
        if (isDead()) return SILENCE;
        return { parked, results: merge(group, verdicts, result) };
      }
      return { parked, results: merge(group, verdicts, { results: [], parked }) };
    },
  };
}

function die({ die: end }: MortalHostDeps, { when }: DeathPoint, group: readonly Operation[]): Promise<never> {
  end(
    when,
    group.map(({ name }) => name),
  );
  return SILENCE;
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
