/**
 * Whose prices apply to a provider. An adapter says which wire is spoken, not who answers: `openai` with a baseURL of its
 * own may be Groq, a proxy or a machine under the desk. Only a baseURL that a vendor is known by names that vendor;
 * anything else has no vendor, and therefore no price that was not written down by the operator.
 */
import { findProvider } from '@pydantic/genai-prices';

/** Where a provider sends its calls. */
export interface Destination {
  readonly adapter: string;
  readonly baseURL: string | undefined;
}

const DEFAULT_VENDORS: ReadonlyMap<string, string> = new Map([
  ['openai', 'openai'],
  ['anthropic', 'anthropic'],
]);

/** Names the vendor behind a provider, by the id it has in genai-prices; undefined when nobody known answers there. */
export function vendorOf({ adapter, baseURL }: Destination): string | undefined {
  if (baseURL === undefined) return DEFAULT_VENDORS.get(adapter);
  const vendor = findProvider({ providerApiUrl: baseURL });
  return vendor !== undefined && isWholeHost(vendor.api_pattern, baseURL) ? vendor.id : undefined;
}

/** Whether the vendor of the adapter itself answers: OpenAI for `openai`, Anthropic for `anthropic`. */
export function isFirstParty(destination: Destination): boolean {
  const vendor = vendorOf(destination);
  return vendor !== undefined && vendor === DEFAULT_VENDORS.get(destination.adapter);
}

/** The patterns are prefixes, so that `https://api.openai.com.example.org` would match OpenAI's; the host must end there. */
function isWholeHost(pattern: string, baseURL: string): boolean {
  const match = new RegExp(`^(?:${pattern})`).exec(baseURL)?.[0];
  if (match === undefined) return false;
  const next = baseURL[match.length];
  return next === undefined || next === '/' || next === ':' || match.endsWith('/') || match.endsWith('.');
}
