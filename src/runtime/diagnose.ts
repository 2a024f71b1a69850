/** Questions about providers that are no requests: what would be used, what there is, and whether it can be reached. */
import type { CheckResult } from '../actors/health-monitor.ts';
import type { AdapterCall, Failure, Feature } from '../contract/adapter.ts';
import type { Credential } from '../contract/config.ts';
import { FAILURE_POLICY } from '../contract/failures.ts';
import { SwitchgearError } from '../contract/errors.ts';
import type { ExplainedCandidate, ModelListing } from '../contract/state.ts';
import { costOf, listedPrice } from '../policy/price.ts';
import type { RankedCandidate } from '../policy/rank.ts';
import { classifySafely } from './classify.ts';
import { Progress } from './progress.ts';
import { scrubFailure } from './scrub.ts';
import { rankFor, type RankTarget } from './route.ts';
import type { Provider, Runtime } from './runtime.ts';
import { estimateInputTokens } from './estimate.ts';

const CHECK_TIMEOUT_MS = 10_000;
const TEST_TOKENS_MAX = 16;
const FEATURES: readonly Feature[] = [
  'completion',
  'stream',
  'embedding',
  'tools',
  'images',
  'json',
  'json-schema',
  'seed',
  'reasoning-effort',
];

/** Every candidate in order, with why it would or would not be used now. Sends nothing. */
export function explainCandidates(runtime: Runtime, target: RankTarget): readonly ExplainedCandidate[] {
  const ranked = rankFor(runtime, target, new Progress().needs({ inputTokens: estimateInputTokens(target.request) }));
  return ranked.map((entry) => ({
    provider: entry.candidate.provider,
    model: entry.candidate.model,
    usable: entry.state === 'ready',
    reasons: [...entry.reasons, ...entry.background],
  }));
}

export function listModels(runtime: Runtime, filter: { provider?: string; feature?: string }): readonly ModelListing[] {
  const catalogue = runtime.catalogue();
  const atMs = runtime.clock.wallMs();
  const listings: ModelListing[] = [];
  for (const [name, provider] of runtime.providers) {
    if (filter.provider !== undefined && filter.provider !== name) continue;
    for (const model of catalogue.models(name)) {
      const facts = catalogue.facts(name, model);
      const features = facts.features ?? FEATURES.filter((feature) => provider.adapter.supports(feature, model));
      if (filter.feature !== undefined && !features.includes(filter.feature)) continue;
      const price = catalogue.price(name, model, atMs);
      listings.push({
        model,
        provider: name,
        availability: availabilityOf(provider, model),
        contextWindow: facts.contextWindow,
        features,
        price: price === undefined ? undefined : listedPrice(price),
      });
    }
  }
  return listings;
}

/** Runs one free check against a provider. Never rejects. */
export async function checkProvider(runtime: Runtime, name: string): Promise<CheckResult> {
  const provider = runtime.providers.get(name);
  const credential = provider === undefined ? undefined : usableCredential(provider);
  if (provider === undefined || credential === undefined) return { provider: name, verdict: 'inconclusive' };
  const failure = await within(runtime, provider, credential, (signal) =>
    provider.adapter.check({ credential, signal }),
  );
  if (failure === undefined) return { provider: name, verdict: 'passed' };
  const { breaker, code } = FAILURE_POLICY[failure.kind];
  runtime.announce('check.failed', { provider: name, kind: failure.kind, message: failure.message });
  // Beside the errors of calls it would be taken for one.
  const message = `health check: ${failure.message}`;
  if (breaker !== 'failure') return { provider: name, verdict: 'inconclusive', message, code };
  provider.control.checkFailed(message);
  return { provider: name, verdict: 'unreachable', message, code };
}

/** One cheap real call, booked in the ledger and hidden from the breaker. */
export async function testConnection(
  runtime: Runtime,
  name: string,
  requestId: string,
): Promise<{ ok: boolean; latencyMs: number; error?: SwitchgearError }> {
  const provider = runtime.providers.get(name);
  if (provider === undefined) {
    const known = [...runtime.providers.keys()].join(', ');
    throw new SwitchgearError('invalid-request', `expected the name of an active provider (${known}), got: ${name}`, {
      param: 'provider',
    });
  }
  const startedAtMs = runtime.clock.nowMs();
  const failure = await askCheaply(runtime, provider, requestId);
  const latencyMs = Math.round(runtime.clock.nowMs() - startedAtMs);
  if (failure === undefined) return { ok: true, latencyMs };
  const error = new SwitchgearError(FAILURE_POLICY[failure.kind].code, `${name}: ${failure.message}`, {
    provider: name,
    cause: failure.cause,
  });
  return { ok: false, latencyMs, error };
}

async function askCheaply(runtime: Runtime, provider: Provider, requestId: string): Promise<Failure | undefined> {
  const { name } = provider.control;
  const credential = usableCredential(provider) ?? provider.control.config.credentials[0];
  const model = runtime
    .catalogue()
    .models(name)
    .find((id) => provider.adapter.supports('completion', id));
  if (credential === undefined) return { kind: 'unauthorized', message: 'no credential is configured' };
  if (model === undefined)
    return within(runtime, provider, credential, (signal) => provider.adapter.check({ credential, signal }));
  return within(runtime, provider, credential, async (signal) => {
    const call: AdapterCall = {
      requestId,
      model,
      request: {
        kind: 'completion',
        model,
        messages: [{ role: 'user', content: 'Say ok.' }],
        maxTokens: TEST_TOKENS_MAX,
      },
      maxTokens: TEST_TOKENS_MAX,
      maxTokensDefault: TEST_TOKENS_MAX,
      credential,
      signal,
    };
    const reply = await provider.adapter.send(call);
    const at = runtime.clock.wallMs();
    const cost = costOf(reply.usage, runtime.catalogue().price(name, model, at));
    runtime.costs.record({
      at,
      requestId,
      attempt: 1,
      provider: name,
      model,
      tenant: 'default',
      tags: { purpose: 'test-connection' },
      outcome: 'answered',
      usage: reply.usage,
      costNanos: cost?.usdNanos,
      isEstimate: false,
    });
  });
}

/** Undefined when `ask` succeeded within the check's time. Never rejects. */
async function within(
  runtime: Runtime,
  provider: Provider,
  credential: Credential,
  ask: (signal: AbortSignal) => Promise<void>,
): Promise<Failure | undefined> {
  const aborting = new AbortController();
  let hasTimedOut = false;
  const timedOut = Promise.withResolvers<never>();
  // Observed by the race below, or too late to matter.
  timedOut.promise.catch(() => undefined);
  const timer = runtime.clock.setTimeout(() => {
    hasTimedOut = true;
    aborting.abort(new Error('the check took too long'));
    timedOut.reject(aborting.signal.reason);
  }, CHECK_TIMEOUT_MS);
  try {
    await Promise.race([ask(aborting.signal), timedOut.promise]);
    return undefined;
  } catch (error) {
    if (hasTimedOut) return { kind: 'silent', message: `no answer within ${CHECK_TIMEOUT_MS} ms` };
    return scrubFailure(classifySafely(provider.adapter, provider.control.config, error), credential);
  } finally {
    runtime.clock.clearTimeout(timer);
  }
}

function usableCredential(provider: Provider): Credential | undefined {
  const usable = provider.control.state().credentials.find((credential) => credential.state === 'usable');
  return provider.control.config.credentials.find((credential) => credential.id === usable?.id);
}

function availabilityOf(provider: Provider, model: string): ModelListing['availability'] {
  const admission: RankedCandidate['admission'] = provider.control.admission(model);
  if (admission.kind === 'ready') return 'available';
  return admission.kind === 'wait' && admission.reason !== 'open' ? 'degraded' : 'unavailable';
}
