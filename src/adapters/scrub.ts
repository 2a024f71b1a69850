/**
 * Takes secrets out of text that leaves an adapter. Providers echo keys in their error bodies, proxies echo headers, and
 * libraries quote the value they could not use; so the text is searched for the secrets that are known, by value, and for
 * whatever looks like a key.
 */

/** Shorter values would mangle ordinary words; a key so short protects nothing. */
const SECRET_LENGTH_MIN = 4;
const TEXT_BYTES_MAX = 2_048;
/** What patterns are run over. The text is a stranger's, and some patterns take the square of its length. */
const SEARCHED_LENGTH_MAX = 4_096;
const MASK = '[redacted]';

const KEY_SHAPES: readonly (readonly [RegExp, string])[] = [
  [/\b(bearer)\s+[\w.~+/*=-]{8,}/gi, `$1 ${MASK}`],
  [/\b(basic)\s+[\w+/=-]{12,}/gi, `$1 ${MASK}`],
  [
    /\b((?:x-|x-goog-)?api[-_ ]?key|authorization|access[-_]?token|secret)(["']?\s*[:=]\s*["']?)(?!bearer\b|basic\b)[^\s"',;&}]{4,}/gi,
    `$1$2${MASK}`,
  ],
  [/\b(?:sk|rk|pk|gsk|xai|pplx|hf|key|or)[-_][\w*-]{8,}/gi, MASK],
  [/\bAIza[\w-]{20,}/g, MASK],
  [/([a-z][a-z0-9+.-]{0,15}:\/\/)[^\s/@]+@/gi, `$1${MASK}@`],
];

export type Scrub = (text: string) => string;

/** Builds the scrubber of one adapter. `readSecrets` is asked each time, because credentials come and go. */
export function createScrub(readSecrets: () => Iterable<string>): Scrub {
  return (text) => {
    let scrubbed = text;
    for (const secret of readSecrets()) {
      if (secret.length < SECRET_LENGTH_MIN) continue;
      scrubbed = scrubbed.replaceAll(secret, MASK).replaceAll(encodeURIComponent(secret), MASK);
    }
    scrubbed = cutAtSpace(scrubbed, SEARCHED_LENGTH_MAX);
    for (const [shape, replacement] of KEY_SHAPES) scrubbed = scrubbed.replace(shape, replacement);
    return shorten(scrubbed);
  };
}

/** Cuts between words: half a key would not look like one. */
function cutAtSpace(text: string, lengthMax: number): string {
  if (text.length <= lengthMax) return text;
  const space = text.lastIndexOf(' ', lengthMax);
  return text.slice(0, space > 0 ? space : lengthMax);
}

/** Scrubs before it shortens: half a key at the cut would no longer be recognised. */
function shorten(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= TEXT_BYTES_MAX) return text;
  return `${bytes
    .subarray(0, TEXT_BYTES_MAX - 6)
    .toString()
    .replace(/\uFFFD+$/, '')}…`;
}
