/**
 * Turns a step of the script into the parts that go out: what is said, how fast, where it ends and how. Pure; `mock.ts`
 * plays it on the clock.
 */
import type { AdapterCall, AdapterPart, Failure } from '../../contract/adapter.ts';
import type { FinishReason, Usage } from '../../contract/response.ts';
import { countInputTokens, renderDefault, renderStep, type MockContent } from './answer.ts';
import { hasContent, type MockFailureOption, type MockOptions, type MockStep } from './options.ts';
import { splitPieces } from './pieces.ts';

/** How an answer ends. `finishReason` undefined: the stream ends without one. */
export type Ending =
  | { readonly kind: 'finish'; readonly finishReason: FinishReason | undefined; readonly usage: Usage | undefined }
  | { readonly kind: 'hang' }
  | { readonly kind: 'failure'; readonly failure: Failure };

export interface Performance {
  /** Before the first part. */
  readonly waitMs: number;
  /** One token each. */
  readonly parts: readonly AdapterPart[];
  /** Between two parts. */
  readonly gapMs: number;
  readonly ending: Ending;
}

export interface PerformanceQuestion {
  readonly provider: string;
  readonly options: MockOptions;
  readonly call: AdapterCall;
  /** Undefined: the echo answers. */
  readonly step: MockStep | undefined;
}

/** Plans one answer. */
export function planPerformance({ provider, options, call, step = {} }: PerformanceQuestion): Performance {
  const delayMs = step.delayMs ?? options.delayMs ?? 0;
  const tokensPerSecond = step.tokensPerSecond ?? options.tokensPerSecond;
  const gapMs = tokensPerSecond === undefined ? 0 : 1_000 / tokensPerSecond;
  const isBroken = step.failure !== undefined || step.hang === true || step.cutAfterTokens !== undefined;
  if (isBroken && !hasContent(step) && step.cutAfterTokens === undefined) {
    return { waitMs: delayMs, parts: [], gapMs, ending: planBreak(step, false) };
  }
  const content = hasContent(step) ? renderStep(step) : renderDefault(call.request, provider);
  const whole = listParts(content);
  const parts = whole.slice(0, Math.min(call.maxTokens ?? Infinity, step.cutAfterTokens ?? Infinity));
  return {
    waitMs: delayMs + (step.firstTokenMs ?? options.firstTokenMs ?? 0),
    parts,
    gapMs,
    ending: isBroken
      ? planBreak(step, parts.length > 0)
      : planFinish({ step, content, call, isWhole: parts.length === whole.length, outputTokens: parts.length }),
  };
}

/** Renders a scripted failure as the adapter port has it; what comes after content may be billed. */
export function renderFailure(failure: MockFailureOption, isMaybeBilled: boolean): Failure {
  const { kind, message = `failed as scripted: ${kind}`, status, providerCode, retryAfterMs } = failure;
  return {
    kind,
    message,
    ...(status !== undefined && { status }),
    ...(providerCode !== undefined && { providerCode }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(isMaybeBilled && { isMaybeBilled }),
  };
}

function planBreak(step: MockStep, hasContentGone: boolean): Ending {
  if (step.hang === true) return { kind: 'hang' };
  return { kind: 'failure', failure: renderFailure(step.failure ?? { kind: 'broken' }, hasContentGone) };
}

interface Finish {
  readonly step: MockStep;
  readonly content: MockContent;
  readonly call: AdapterCall;
  readonly isWhole: boolean;
  readonly outputTokens: number;
}

function planFinish({ step, content, call, isWhole, outputTokens }: Finish): Ending {
  const natural: FinishReason = isWhole ? (content.toolCalls.length > 0 ? 'tool-calls' : 'stop') : 'length';
  const finishReason = step.finishReason ?? natural;
  return {
    kind: 'finish',
    finishReason: finishReason === 'none' ? undefined : finishReason,
    usage: planUsage(step, { inputTokens: countInputTokens(call.request.messages), outputTokens }),
  };
}

function planUsage(step: MockStep, counted: Usage): Usage | undefined {
  if (step.usage === 'none') return undefined;
  if (step.usage === undefined) return counted;
  // Leaves out what is not told: an unknown count is absent, never undefined-as-a-value.
  return Object.fromEntries(Object.entries(step.usage).filter(([, count]) => count !== undefined));
}

function listParts(content: MockContent): readonly AdapterPart[] {
  return [
    ...splitPieces(content.text).map((text) => ({ type: 'text' as const, text })),
    ...splitPieces(content.refusal ?? '').map((text) => ({ type: 'refusal' as const, text })),
    ...content.toolCalls.map((call) => ({ type: 'toolCall' as const, ...call })),
  ];
}
