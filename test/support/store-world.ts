/** A service over a store that fails, hangs or is slow as it is told, before or after an operation had its effect. */
import { startService } from '../../src/compose.ts';
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { Claim, RequestStore } from '../../src/contract/records.ts';
import type { Service } from '../../src/contract/service.ts';
import { sleep } from '../../src/runtime/sleep.ts';
import { MemoryStore } from '../../src/stores/memory.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { ScriptedProvider } from './scripted-provider.ts';
import { type RunOperation, type StoreOperation, wrapStore } from './wrapped-store.ts';

/** Which operations go wrong, and how. */
type Failing = Partial<Record<StoreOperation, 'before' | 'after' | 'hang'>>;

export interface StoreWorld extends AsyncDisposable {
  readonly service: Service;
  readonly clock: VirtualClock;
  readonly provider: ScriptedProvider;
  readonly fails: Failing;
  slowMs: number;
  /** Ids whose end was written. */
  readonly settled: readonly string[];
  /** Keys that calls came with. */
  readonly keysSeen: readonly (string | undefined)[];
  /** What the store says, without its faults. */
  load(requestId: string): ReturnType<RequestStore['load']>;
  /** Reloads the config with these providers: name to key. */
  reloadWith(keys: Readonly<Record<string, string>>): Promise<void>;
}

/** A service whose store fails as it is told, before or after an operation had its effect. */
export async function createStoreWorld(options: { readonly queueDepthMax?: number } = {}): Promise<StoreWorld> {
  const clock = new VirtualClock();
  const provider = new ScriptedProvider('a', clock);
  const memory = new MemoryStore({ clock, resultTtlMs: 86_400_000 });
  const fails: Failing = {};
  const settled: string[] = [];
  const keysSeen: (string | undefined)[] = [];
  const world = { slowMs: 0 };
  const run: RunOperation = async (operation, act, args) => {
    const failing = fails[operation];
    if (world.slowMs > 0) await sleep(clock, world.slowMs);
    if (failing === 'hang') await new Promise<never>(() => undefined);
    if (failing === 'before') throw new SwitchgearError('store-unavailable', 'scripted');
    if (operation === 'settle') settled.push((args[0] as Claim).requestId);
    const value = await act();
    if (failing === 'after') throw new SwitchgearError('store-unavailable', 'scripted');
    return value;
  };
  const store = wrapStore(memory, run);
  const providersWith = (keys: Readonly<Record<string, string>>) =>
    Object.fromEntries(
      Object.entries(keys).map(([name, apiKey]) => [
        name,
        { adapter: 'scripted', apiKey, models: ['m'], health: { intervalMs: 86_400_000 } },
      ]),
    );
  const config = {
    service: { queueDepthMax: options.queueDepthMax ?? 100 },
    providers: providersWith({ a: 'first-key' }),
  };
  const service = await startService(config, {
    clock,
    storage: { requests: store },
    adapters: {
      scripted: (...parts) => {
        const adapter = provider.createAdapter(...parts);
        return {
          ...adapter,
          send: (call) => {
            keysSeen.push(call.credential.apiKey);
            return adapter.send(call);
          },
          stream: (call) => {
            keysSeen.push(call.credential.apiKey);
            return adapter.stream(call);
          },
        };
      },
    },
  });
  return Object.assign(world, {
    service,
    clock,
    provider,
    fails,
    settled,
    keysSeen,
    load: (requestId: string) => memory.load(requestId),
    reloadWith: async (keys: Readonly<Record<string, string>>) => {
      config.providers = providersWith(keys);
      await service.reload();
    },
    [Symbol.asyncDispose]: async () => {
      await clock.waitFor(service.stop({ graceMs: 0 }));
    },
  });
}
