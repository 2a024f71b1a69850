/**
 * What differs among Claude models on the wire. Each generation refuses with 400 what the one before wanted: thinking budgets
 * gave way to adaptive thinking in 4.6 and were removed in 4.7, together with sampling parameters; structured outputs came
 * with 4.5 (Opus 4.1). A model whose name tells no version is taken for a new one.
 */
import type { ReasoningEffort } from '../../contract/request.ts';
import type { WireObject } from '../wire.ts';

interface ModelVersion {
  readonly family: string;
  /** Major × 100 + minor. */
  readonly number: number;
}

const NEWEST: ModelVersion = { family: '', number: Number.POSITIVE_INFINITY };
/** `claude-sonnet-4-5-20250929`, `claude-opus-4-20250514`; a minor version has at most two digits, a date eight. */
const FAMILY_FIRST = /claude-([a-z]+)-(\d{1,2})(?:[-.](\d{1,2})(?!\d))?(?!\d)/;
/** `claude-3-7-sonnet-latest`, `claude-3-haiku-20240307`, `claude-4.5-haiku`. */
const VERSION_FIRST = /claude-(\d{1,2})(?:[-.](\d{1,2}))?-([a-z]+)/;

function readVersion(model: string): ModelVersion {
  const name = model.toLowerCase();
  const versionFirst = VERSION_FIRST.exec(name);
  if (versionFirst !== null)
    return { family: versionFirst[3] ?? '', number: Number(versionFirst[1]) * 100 + Number(versionFirst[2] ?? 0) };
  const familyFirst = FAMILY_FIRST.exec(name);
  if (familyFirst !== null)
    return { family: familyFirst[1] ?? '', number: Number(familyFirst[2]) * 100 + Number(familyFirst[3] ?? 0) };
  return /claude-(2|instant)/.test(name) ? { family: '', number: 200 } : NEWEST;
}

/** Whether `output_config.format` constrains the answer to a schema. */
export function hasStructuredOutputs(model: string): boolean {
  const { family, number } = readVersion(model);
  return number >= (family === 'opus' ? 401 : 405);
}

/** Whether `temperature` and `top_p` are taken. */
export const takesSampling = (model: string): boolean => readVersion(model).number <= 406;

/** Whether any form of `reasoningEffort` has an effect. */
export const canThink = (model: string): boolean => readVersion(model).number >= 307;

const BUDGET_TOKENS: Readonly<Record<Exclude<ReasoningEffort, 'none'>, number>> = {
  minimal: 1_024,
  low: 2_048,
  medium: 8_192,
  high: 16_384,
  xhigh: 32_768,
};
const BUDGET_TOKENS_MIN = 1_024;

export interface Thinking {
  readonly thinking?: WireObject;
  readonly output_config?: WireObject;
}

/**
 * The fields that carry a reasoning effort. From 4.6 on thinking is adaptive and the effort a word; before, it is a budget of
 * at most half of the output, so that room is left for the answer. `none` says nothing where thinking is off by default, and
 * asks for the lowest effort from generation 5 on, where it cannot be turned off.
 */
export function renderThinking(model: string, effort: ReasoningEffort | undefined, maxTokens: number): Thinking {
  const { number } = readVersion(model);
  if (effort === undefined || !canThink(model)) return {};
  if (effort === 'none') return number >= 500 ? { output_config: { effort: 'low' } } : {};
  if (number >= 406) return { thinking: { type: 'adaptive' }, output_config: { effort: renderEffort(effort, number) } };
  const budgetTokens = Math.min(BUDGET_TOKENS[effort], Math.floor(maxTokens / 2));
  return budgetTokens < BUDGET_TOKENS_MIN ? {} : { thinking: { type: 'enabled', budget_tokens: budgetTokens } };
}

function renderEffort(effort: Exclude<ReasoningEffort, 'none'>, versionNumber: number): string {
  if (effort === 'minimal') return 'low';
  return effort === 'xhigh' && versionNumber < 407 ? 'high' : effort;
}
