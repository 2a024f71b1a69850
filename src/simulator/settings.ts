/** What the simulator currently goes by, apart from its faults, and how a patch changes it. */
import type { ParsedPatch } from './options.ts';
import type { Distribution } from './random.ts';

export interface Settings {
  readonly latency: Distribution;
  readonly tokensPerSecond: number | undefined;
  readonly outputTokens: number;
  /** Undefined: every name is a model. */
  readonly models: readonly string[] | undefined;
  /** Undefined: every key is good, and so is none. */
  readonly keyHashes: readonly string[] | undefined;
}

export const settingsDefault: Settings = {
  latency: { kind: 'constant', ms: 0 },
  tokensPerSecond: undefined,
  outputTokens: 60,
  models: undefined,
  keyHashes: undefined,
};

/** Changes what the patch names; null gives a setting its default again. */
export function changeSettings(settings: Settings, patch: ParsedPatch): Settings {
  return {
    latency: choose(patch.latencyMs, settings.latency, settingsDefault.latency),
    tokensPerSecond: choose(patch.tokensPerSecond, settings.tokensPerSecond, settingsDefault.tokensPerSecond),
    outputTokens: choose(patch.outputTokens, settings.outputTokens, settingsDefault.outputTokens),
    models: choose(patch.models, settings.models, settingsDefault.models),
    keyHashes: choose(patch.keys, settings.keyHashes, settingsDefault.keyHashes),
  };
}

function choose<Value>(given: Value | null | undefined, current: Value, fallback: Value): Value {
  return given === undefined ? current : (given ?? fallback);
}
