/**
 * What a simulated provider is going through, and what one call meets in it. Weather changes in episodes, as real incidents
 * do; within an episode every call draws its own fate.
 */
import type { Failure } from '../../src/contract/adapter.ts';
import type { FailureKind } from '../../src/contract/failures.ts';
import type { Dice } from './dice.ts';

/** How likely each weather is when one is drawn. */
export const WEATHERS = {
  fine: 8,
  slow: 1,
  flaky: 2,
  down: 2,
  unreachable: 1,
  silent: 1,
  hanging: 1,
  throttled: 2,
  'throttled without a word': 1,
  overloaded: 1,
  'breaking streams': 2,
  'false answers': 1,
  'out of money': 1,
  'locked out': 1,
  'unknown model': 0.5,
  refusing: 0.5,
  lying: 1,
  chaos: 3,
};

export type Weather = keyof typeof WEATHERS;

export type Fate =
  | {
      readonly kind: 'answer';
      readonly firstMs: number;
      readonly parts: number;
      readonly gapMs: number;
      /** Whether the provider says what was used. */
      readonly tellsUsage: boolean;
    }
  | { readonly kind: 'fail'; readonly afterMs: number; readonly failure: Failure }
  /** Says nothing; a deaf one does not notice that its caller left. */
  | { readonly kind: 'hang'; readonly isDeaf: boolean }
  /** Stops in the middle of an answer. */
  | {
      readonly kind: 'break';
      readonly firstMs: number;
      readonly parts: number;
      readonly gapMs: number;
      readonly how: 'cut' | 'stall' | 'error';
    }
  /** Keeps to no contract: throws something odd, or gives a reply with fields missing. */
  | { readonly kind: 'nonsense'; readonly afterMs: number; readonly how: 'throws' | 'malformed' | 'empty' };

/** Draws what one call meets. */
export function drawFate(weather: Weather, dice: Dice): Fate {
  switch (weather) {
    case 'fine':
      return answer(dice, 1);
    case 'slow':
      return answer(dice, 25);
    case 'flaky':
      return dice.chance(0.3) ? transient(dice) : answer(dice, 1);
    case 'down':
      return fail(dice, 'upstream-error', { status: dice.pick([500, 502, 503]), ...pushback(dice, 0.2) });
    case 'unreachable':
      return fail(dice, dice.pick<FailureKind>(['connection', 'connect-timeout']));
    case 'silent':
      return dice.chance(0.7) ? { kind: 'hang', isDeaf: false } : answer(dice, 1);
    case 'hanging':
      return { kind: 'hang', isDeaf: dice.chance(0.3) };
    case 'throttled':
      return dice.chance(0.6) ? throttle(dice) : answer(dice, 1);
    case 'throttled without a word':
      return dice.chance(0.8) ? fail(dice, 'rate-limited', { status: 429 }) : answer(dice, 1);
    case 'overloaded':
      return dice.chance(0.6) ? fail(dice, 'overloaded', { status: 529, ...pushback(dice, 0.3) }) : answer(dice, 3);
    case 'breaking streams':
      return dice.chance(0.6) ? breakOff(dice) : answer(dice, 1);
    case 'false answers':
      return dice.chance(0.7) ? fail(dice, 'false-success', { status: 200, isMaybeBilled: true }) : answer(dice, 1);
    case 'out of money':
      return fail(dice, 'quota-exhausted', { status: dice.pick([402, 429]) });
    case 'locked out':
      return dice.chance(0.9) ? fail(dice, 'unauthorized', { status: dice.pick([401, 403]) }) : answer(dice, 1);
    case 'unknown model':
      return fail(dice, 'model-not-found', { status: 404 });
    case 'refusing':
      return fail(dice, dice.pick<FailureKind>(['context-too-long', 'content-filtered', 'invalid-request']), {
        status: 400,
      });
    case 'lying':
      return dice.chance(0.6) ? nonsense(dice) : answer(dice, 1);
    case 'chaos':
      return drawFate(dice.weighted<Weather>({ ...WEATHERS, chaos: 0 }), dice);
  }
}

function answer(dice: Dice, slowness: number): Fate {
  return {
    kind: 'answer',
    firstMs: dice.logUniform(80, 900) * slowness,
    parts: dice.integer(1, 4),
    gapMs: dice.logUniform(5, 400) * Math.sqrt(slowness),
    tellsUsage: dice.chance(0.9),
  };
}

function breakOff(dice: Dice): Fate {
  const { firstMs, parts, gapMs } = { firstMs: dice.logUniform(80, 900), parts: dice.integer(1, 4), gapMs: 100 };
  return { kind: 'break', firstMs, parts, gapMs, how: dice.pick(['cut', 'stall', 'error']) };
}

function transient(dice: Dice): Fate {
  if (dice.chance(0.2)) return breakOff(dice);
  return fail(dice, dice.pick<FailureKind>(['upstream-error', 'connection', 'overloaded']), pushback(dice, 0.1));
}

function throttle(dice: Dice): Fate {
  return fail(dice, 'rate-limited', {
    status: 429,
    retryAfterMs: dice.pick([0, 200, 1_000, 2_000, 4_900, 5_100, 20_000, 61_000, 300_000]),
  });
}

function nonsense(dice: Dice): Fate {
  return { kind: 'nonsense', afterMs: dice.between(0, 500), how: dice.pick(['throws', 'malformed', 'empty']) };
}

function fail(dice: Dice, kind: FailureKind, details: Partial<Failure> = {}): Fate {
  const failure = { kind, message: `simulated ${kind}`, ...details };
  return { kind: 'fail', afterMs: kind === 'connect-timeout' ? 5_000 : dice.logUniform(1, 800), failure };
}

function pushback(dice: Dice, probability: number): Partial<Failure> {
  return dice.chance(probability) ? { retryAfterMs: dice.pick([0, 500, 3_000, 10_000, 90_000]) } : {};
}
