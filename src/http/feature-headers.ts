/**
 * The one vendor header of each wire that may travel on: its list of features in test (`anthropic-beta`, `openai-beta`).
 * What such a feature changes in a body is a wire field like any other; the header alone narrows nothing and is left out
 * where another wire answers. No other header of a caller leaves this machine: the rest are credentials, or might be.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { FeatureHeaders } from '../contract/request.ts';
import { HttpRefusal } from './failure.ts';
import type { WireName } from './wire.ts';

const FEATURE_HEADERS: Readonly<Record<WireName, string>> = { openai: 'openai-beta', anthropic: 'anthropic-beta' };
const FEATURES = /^[\w.,=:; -]{1,1024}$/;

/**
 * The feature header of a request of this wire, to spread into the parsed request.
 * @throws {HttpRefusal} 400 naming the header
 */
export function readFeatureHeader(headers: IncomingHttpHeaders, wire: WireName): { featureHeaders?: FeatureHeaders } {
  const name = FEATURE_HEADERS[wire];
  const value = [headers[name] ?? []].flat().join(', ').trim();
  // What an SDK sends for an empty list.
  if (value === '') return {};
  if (!FEATURES.test(value)) {
    const what = 'a list of features, at most 1024 letters, digits and -_.,=:; long';
    throw new HttpRefusal(400, `expected ${name} to be ${what}, got: ${value.length} characters`, name);
  }
  return { featureHeaders: { [name]: value } };
}
