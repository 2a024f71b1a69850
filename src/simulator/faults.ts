/**
 * The ways of misbehaving and their names. A name is a word and its numbers (`cut-40`, `fail-429-2`), the same in a
 * script, an outage, a failure rate, a control call and a model name; the table below is all there is to know about them.
 */
import { createProblem, createProblemOfStatus, type Problem } from './problems.ts';

/** Faults without numbers. */
type PlainFault =
  | 'refuse'
  | 'reset'
  | 'error-body'
  | 'empty'
  | 'empty-body'
  | 'wrong-type'
  | 'gzip-cut'
  | 'json-for-stream'
  | 'no-done'
  | 'no-done-end'
  | 'no-finish'
  | 'no-usage'
  | 'filtered'
  | 'split'
  | 'no-prefill'
  | 'echo-key';

/** How an answer is spoilt. Tokens and events are counted from 1; `forMs` undefined means until the client leaves. */
export type FaultShape =
  | { readonly kind: PlainFault }
  | { readonly kind: 'problem'; readonly problem: Problem }
  | { readonly kind: 'html' | 'redirect'; readonly status: number }
  | { readonly kind: 'hang'; readonly forMs: number | undefined }
  | { readonly kind: 'slow' | 'pings'; readonly firstTokenMs: number }
  | { readonly kind: 'drip'; readonly everyMs: number }
  | { readonly kind: 'cut' | 'end'; readonly afterTokens: number }
  | { readonly kind: 'stall'; readonly afterTokens: number; readonly forMs: number | undefined }
  | { readonly kind: 'stall-cut'; readonly afterTokens: number; readonly forMs: number }
  | { readonly kind: 'bad-json'; readonly event: number }
  | { readonly kind: 'late-end'; readonly afterMs: number }
  | { readonly kind: 'stream-error'; readonly afterTokens: number; readonly problem: Problem };

export type Fault = FaultShape & { readonly name: string };

/** What a name turned out to be: a fault, the word `ok`, no fault's name at all, or one with impossible numbers. */
export type ParsedFault =
  | { readonly kind: 'fault'; readonly fault: Fault }
  | { readonly kind: 'ok' | 'unknown' }
  | { readonly kind: 'mistake'; readonly expected: string };

interface FaultForm {
  /** The name with its numbers, for people: `cut-N`. Numbers in brackets have a default. */
  readonly form: string;
  readonly does: string;
  readonly create: (numbers: readonly number[]) => FaultShape | undefined;
  readonly numbersMax: number;
}

const numbersMax = 86_400_000;

const plain = (kind: PlainFault, does: string): FaultForm => ({
  form: kind,
  does,
  create: () => ({ kind }),
  numbersMax: 0,
});
const refusal = (form: string, does: string, problem: Problem): FaultForm => ({
  form,
  does,
  create: () => ({ kind: 'problem', problem }),
  numbersMax: 0,
});
const streamError = (form: string, does: string, problem: Problem): FaultForm => ({
  form,
  does,
  create: ([afterTokens = 0]) => ({ kind: 'stream-error', afterTokens, problem }),
  numbersMax: 1,
});

/** Every fault by its word. */
const FAULT_FORMS: Readonly<Record<string, FaultForm>> = {
  fail: {
    form: 'fail-STATUS[-SECONDS]',
    does: 'answers with an error status, and Retry-After when seconds are given',
    create: ([status = 500, retryAfterSeconds]) =>
      status >= 400 && status <= 599
        ? { kind: 'problem', problem: createProblemOfStatus(status, retryAfterSeconds) }
        : undefined,
    numbersMax: 2,
  },
  quota: refusal('quota', '429 insufficient_quota, without Retry-After', createProblem('quota')),
  context: refusal('context', '400 context_length_exceeded', createProblem('context', { param: 'messages' })),
  policy: refusal('policy', '400 content_policy_violation', createProblem('policy')),
  'no-prefill': plain('no-prefill', "400 when the last message is the assistant's, else a good answer"),
  'echo-key': plain('echo-key', '401 that quotes the key it was sent'),
  refuse: plain('refuse', 'connections are closed as soon as they are made'),
  reset: plain('reset', 'connection reset before any byte'),
  hang: {
    form: 'hang[-MS]',
    does: 'silence, for ever or for MS',
    create: ([forMs]) => ({ kind: 'hang', forMs }),
    numbersMax: 1,
  },
  slow: {
    form: 'slow-MS',
    does: 'headers at once, the first token after MS',
    create: ([firstTokenMs = 20_000]) => ({ kind: 'slow', firstTokenMs }),
    numbersMax: 1,
  },
  pings: {
    form: 'pings-MS',
    does: 'like slow, with a keep-alive every second',
    create: ([firstTokenMs = 20_000]) => ({ kind: 'pings', firstTokenMs }),
    numbersMax: 1,
  },
  drip: {
    form: 'drip-MS',
    does: 'one token every MS',
    create: ([everyMs = 1_000]) => ({ kind: 'drip', everyMs }),
    numbersMax: 1,
  },
  cut: {
    form: 'cut-N',
    does: 'the connection dies after N tokens',
    create: ([afterTokens = 40]) => ({ kind: 'cut', afterTokens }),
    numbersMax: 1,
  },
  end: {
    form: 'end-N',
    does: 'the body ends politely after N tokens',
    create: ([afterTokens = 40]) => ({ kind: 'end', afterTokens }),
    numbersMax: 1,
  },
  stall: {
    form: 'stall-N[-MS]',
    does: 'silence after N tokens, for ever or for MS',
    create: ([afterTokens = 20, forMs]) => ({ kind: 'stall', afterTokens, forMs }),
    numbersMax: 2,
  },
  'stall-cut': {
    form: 'stall-cut-N-MS',
    does: 'silence after N tokens, then the connection dies after MS',
    create: ([afterTokens = 20, forMs = 30_000]) => ({ kind: 'stall-cut', afterTokens, forMs }),
    numbersMax: 2,
  },
  'bad-json': {
    form: 'bad-json-N',
    does: 'event N is invalid JSON, the rest is fine',
    create: ([event = 10]) => (event < 1 ? undefined : { kind: 'bad-json', event }),
    numbersMax: 1,
  },
  'no-done': plain('no-done', 'a whole stream without its last event, on a connection that stays open'),
  'no-done-end': plain('no-done-end', 'a whole stream without its last event, then the end'),
  'no-finish': plain('no-finish', 'a whole text without a finish reason'),
  'no-usage': plain('no-usage', 'no usage is told'),
  'late-end': {
    form: 'late-end-MS',
    does: 'what follows the finish reason comes after MS',
    create: ([afterMs = 5_000]) => ({ kind: 'late-end', afterMs }),
    numbersMax: 1,
  },
  'error-stream': streamError('error-stream[-N]', 'a server error as an event after N tokens', createProblem('server')),
  'overloaded-stream': streamError(
    'overloaded-stream[-N]',
    'an overload as an event after N tokens',
    createProblem('overloaded'),
  ),
  'rate-limit-stream': streamError(
    'rate-limit-stream[-N]',
    'a rate limit as an event after N tokens',
    createProblem('rate-limit'),
  ),
  'error-body': plain('error-body', '200 with an error as its body'),
  html: {
    form: 'html[-STATUS]',
    does: "a proxy's HTML page, with 200 or STATUS",
    create: ([status = 200]) => (status >= 200 && status <= 599 ? { kind: 'html', status } : undefined),
    numbersMax: 1,
  },
  empty: plain('empty', '200 without choices or content'),
  'empty-body': plain('empty-body', '200 with nothing in it'),
  'wrong-type': plain('wrong-type', 'the right body under the wrong content type'),
  'json-for-stream': plain('json-for-stream', 'an unstreamed answer to a request for a stream'),
  'gzip-cut': plain('gzip-cut', 'gzip that ends in the middle'),
  redirect: {
    form: 'redirect[-STATUS]',
    does: '307 or STATUS to an address that answers',
    create: ([status = 307]) => (status >= 300 && status <= 399 ? { kind: 'redirect', status } : undefined),
    numbersMax: 1,
  },
  filtered: plain('filtered', 'an answer that ends with the content filter'),
  split: plain('split', 'a good answer in pieces of 7 bytes'),
};

/** Reads a fault's name. */
export function parseFault(name: string): ParsedFault {
  if (name === 'ok') return { kind: 'ok' };
  const match = /^(?:([a-z]+(?:-[a-z]+)*)((?:-\d{1,9})*)|(\d{3}(?:-\d{1,9})?))$/u.exec(name);
  const word = match?.[1] ?? 'fail';
  const form = match === null || !Object.hasOwn(FAULT_FORMS, word) ? undefined : FAULT_FORMS[word];
  if (form === undefined) return { kind: 'unknown' };
  const numbers = (match?.[2] ?? match?.[3] ?? '')
    .split('-')
    .filter((digits) => digits !== '')
    .map(Number);
  const isPossible = numbers.length <= form.numbersMax && numbers.every((number) => number <= numbersMax);
  const shape = isPossible ? form.create(numbers) : undefined;
  return shape === undefined ? { kind: 'mistake', expected: form.form } : { kind: 'fault', fault: { ...shape, name } };
}

/** Lists the names for people, one line per fault. */
export function listFaults(): readonly { readonly form: string; readonly does: string }[] {
  return Object.values(FAULT_FORMS).map(({ form, does }) => ({ form, does }));
}
