/**
 * Judges an answer by its status line and headers, before an SDK sees a byte of the body. The SDKs take an HTML page for an
 * empty stream and a JSON document for an empty stream too; and they read a body of any size. Here a body has a maximum, an
 * answer of the wrong kind is a failure that says what came instead, and a redirect is never followed.
 */
import { broken, falseSuccess, unstreamed } from './wire.ts';

/** The largest unstreamed answer that is read. */
export const BODY_BYTES_MAX = 64 * 1_048_576;
/** Enough of an error answer to classify it. */
const ERROR_BYTES_MAX = 65_536;
const EXCERPT_LENGTH_MAX = 200;
/** As much of a page as holds its title; patterns take the square of a hostile one's length. */
const MARKUP_LENGTH_MAX = 16_384;

/** A document that is an answer, as either wire has it: the server knows no streams. */
const ANSWER_WORDS = /^(?!\s*\{\s*"error")[\s\S]*"(?:choices|content)"\s*:/;

/** What a call was prepared to read. */
export type Expectation = 'json' | 'event-stream';

/**
 * Gives the response to hand to the SDK. Streams pass as they are; everything else is read whole first.
 *
 * @throws {AttemptError} `false-success` or `broken`
 */
export async function checkResponse(response: Response, expectation: Expectation): Promise<Response> {
  if (response.type === 'opaqueredirect' || (response.status >= 300 && response.status < 400)) {
    await discard(response);
    throw falseSuccess(
      `answered with a redirect (${response.status}${describeLocation(response)}), which is never followed`,
    );
  }
  if (!response.ok) return rebuild(response, await readErrorText(response));
  const mediaType = readMediaType(response);
  if (expectation === 'event-stream') {
    if (mediaType === 'text/event-stream') return response;
    const text = await readErrorText(response);
    const message = `answered a stream request with ${describeContent(mediaType, text)}`;
    throw isJson(mediaType) && ANSWER_WORDS.test(text) ? unstreamed(message) : falseSuccess(message);
  }
  if (!isJson(mediaType)) {
    throw falseSuccess(`answered with ${describeContent(mediaType, await readErrorText(response))} instead of JSON`);
  }
  const text = await readText(response, BODY_BYTES_MAX);
  if (text.trim() === '') throw falseSuccess(`answered ${response.status} with an empty body`);
  return rebuild(response, text);
}

const readMediaType = (response: Response): string =>
  (response.headers.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? '';

const isJson = (mediaType: string): boolean => mediaType === 'application/json' || mediaType.endsWith('+json');

/** Host and path only: a query may carry a key. */
function describeLocation(response: Response): string {
  const location = response.headers.get('location');
  if (location === null || !URL.canParse(location, 'http://relative.invalid')) return '';
  const url = new URL(location, 'http://relative.invalid');
  return ` to ${url.hostname === 'relative.invalid' ? '' : url.host}${url.pathname}`;
}

const describeContent = (mediaType: string, text: string): string =>
  `${mediaType === '' ? 'no content type' : mediaType}${text === '' ? '' : `: ${stripMarkup(text).slice(0, EXCERPT_LENGTH_MAX)}`}`;

/** Whether a text is a page for people. */
export const isMarkup = (text: string): boolean => text.trimStart().startsWith('<');

/** The words of a page without its markup. */
export function stripMarkup(text: string): string {
  if (!isMarkup(text)) return text;
  return text
    .slice(0, MARKUP_LENGTH_MAX)
    .replace(/<(script|style)\b[\s\S]*?<\/\1\s*>/gi, ' ')
    .replace(/<[^<>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
}

/** A response with the same status and headers around text that has been read and decoded. */
function rebuild(response: Response, text: string): Response {
  const headers = new Headers();
  for (const [name, value] of response.headers) {
    if (name !== 'content-encoding' && name !== 'content-length' && name !== 'transfer-encoding')
      headers.append(name, value);
  }
  return new Response(text, { status: response.status, headers });
}

async function readText(response: Response, bytesMax: number): Promise<string> {
  const { text, isCut } = await readUpTo(response, bytesMax);
  if (isCut) throw broken(`expected the answer to be at most ${bytesMax} bytes, got: more`);
  return text;
}

/** The body of a failure: whatever can be had of it, for the status says the rest. */
async function readErrorText(response: Response): Promise<string> {
  try {
    return (await readUpTo(response, ERROR_BYTES_MAX)).text;
  } catch {
    return '';
  }
}

async function readUpTo(response: Response, bytesMax: number): Promise<{ text: string; isCut: boolean }> {
  const reader = response.body?.getReader();
  if (reader === undefined) return { text: '', isCut: false };
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return { text: Buffer.concat(chunks).toString('utf8'), isCut: false };
      bytes += value.byteLength;
      chunks.push(value);
      if (bytes <= bytesMax) continue;
      // Nobody waits for the rest; a failure to cancel changes nothing.
      void reader.cancel().catch(() => undefined);
      return { text: Buffer.concat(chunks).subarray(0, bytesMax).toString('utf8'), isCut: true };
    }
  } catch (error) {
    throw broken(`the answer ended after ${bytes} bytes: ${describeBodyError(error)}`, error);
  }
}

/** The innermost reason: undici's own message is only "terminated". */
export function describeBodyError(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}

async function discard(response: Response): Promise<void> {
  // The connection is not worth more; nobody reads this body.
  await response.body?.cancel().catch(() => undefined);
}
