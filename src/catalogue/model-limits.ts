/**
 * Token limits of the models OpenAI and Anthropic offer now, kept by hand because the price list has few and mixes up two
 * things: the window (input and output together) and the most that may be sent in. Read on 2026-11-21 from the vendors'
 * model pages (developers.openai.com/api/docs/models, platform.claude.com/docs/en/models), Google's page on OpenAI's
 * partner models (922,000 in and 128,000 out of 1,050,000 for Astra, Sol, Terra and Luna) and models.dev at f3fc692
 * (2026-07-02) for the older ones. A limit without a source is left out.
 */
import type { ModelFacts } from '../contract/catalogue.ts';

const gpt41 = { contextWindow: 1_047_576, maxOutputTokens: 32_768 };
const gpt4o = { contextWindow: 128_000, maxOutputTokens: 16_384 };
const reasoning200k = { contextWindow: 200_000, maxOutputTokens: 100_000 };
const gpt5 = { contextWindow: 400_000, maxInputTokens: 272_000, maxOutputTokens: 128_000 };
const gptMillion = { contextWindow: 1_050_000, maxInputTokens: 922_000, maxOutputTokens: 128_000 };

const OPENAI: readonly (readonly [string, ModelFacts])[] = [
  ['gpt-6.2-sol', gptMillion],
  ['gpt-6.1-sol', gptMillion],
  ['gpt-6-astra', gptMillion],
  ['gpt-6-sol', gptMillion],
  ['gpt-6-luna', gptMillion],
  ['gpt-5.6', gptMillion],
  ['gpt-5.6-sol', gptMillion],
  ['gpt-5.6-terra', gptMillion],
  ['gpt-5.6-luna', gptMillion],
  ['gpt-5.5', gptMillion],
  ['gpt-5.4', gptMillion],
  ['gpt-5.4-mini', gpt5],
  ['gpt-5.4-nano', gpt5],
  ['gpt-5.2', gpt5],
  ['gpt-5.1', gpt5],
  ['gpt-5', gpt5],
  ['gpt-5-mini', gpt5],
  ['gpt-5-nano', gpt5],
  ['gpt-4.1', gpt41],
  ['gpt-4.1-mini', gpt41],
  ['gpt-4.1-nano', gpt41],
  ['gpt-4o', gpt4o],
  ['gpt-4o-mini', gpt4o],
  ['o1', reasoning200k],
  ['o3', reasoning200k],
  ['o3-mini', reasoning200k],
  ['o4-mini', reasoning200k],
  ['text-embedding-3-large', { contextWindow: 8_191, features: ['embedding'] }],
  ['text-embedding-3-small', { contextWindow: 8_191, features: ['embedding'] }],
];

const claudeMillion = { contextWindow: 1_000_000, maxOutputTokens: 128_000 };
const claude200k = { contextWindow: 200_000, maxOutputTokens: 64_000 };

const ANTHROPIC: readonly (readonly [string, ModelFacts])[] = [
  ['claude-fable-5-1', claudeMillion],
  ['claude-fable-5', claudeMillion],
  ['claude-opus-5-5', claudeMillion],
  ['claude-opus-5', claudeMillion],
  ['claude-opus-4-8', claudeMillion],
  ['claude-opus-4-7', claudeMillion],
  ['claude-opus-4-6', claudeMillion],
  ['claude-opus-4-5', claude200k],
  ['claude-sonnet-5-5', claudeMillion],
  ['claude-sonnet-5', claudeMillion],
  ['claude-sonnet-4-6', claudeMillion],
  ['claude-sonnet-4-5', claude200k],
  ['claude-haiku-5-5', claudeMillion],
  ['claude-haiku-4-5', claude200k],
];

const LIMITS: ReadonlyMap<string, ReadonlyMap<string, ModelFacts>> = new Map([
  ['openai', new Map(OPENAI)],
  ['anthropic', new Map(ANTHROPIC)],
]);

/** The limits of a vendor's model, dated snapshots (`gpt-4.1-2025-04-14`, `claude-haiku-4-5-20251001`) included. */
export function modelLimits(vendor: string, model: string): ModelFacts | undefined {
  const models = LIMITS.get(vendor);
  return models?.get(model) ?? models?.get(model.replace(/-20\d{2}-?\d{2}-?\d{2}$/, ''));
}

/** The ids of a vendor's current models, newest first; empty for vendors other than OpenAI and Anthropic. */
export function currentModels(vendor: string): readonly string[] {
  return [...(LIMITS.get(vendor)?.keys() ?? [])];
}
