/**
 * What is known after a fault was played: what the caller was told and when, and what each provider was asked and when.
 * Nothing inside the system under test is part of it, so that ours and everybody else's are judged by the same evidence.
 * Times are ms since the fault began.
 */
import { countWords, writeWords } from '../../src/simulator/answer.ts';
import type { SimulatorRequest } from '../../src/simulator/request-log.ts';

/** The two upstreams of a fault: the one that misbehaves, and the one behind it. */
export type Side = 'primary' | 'fallback';

/** Asked in every request. Its words come back in the answer, so they are unlike those of any error message. */
export const PROMPT = 'Say in sixty words what keeps the lights on when a feeder fails at night.';
/** Words of a whole answer; each is a token. */
export const WORDS = 60;
/** The models of the two upstreams. */
export const MODELS: Readonly<Record<Side, string>> = { primary: 'primary-model', fallback: 'fallback-model' };
/** The usage a whole answer is billed by. */
export const USAGE: Tokens = { input: countWords(PROMPT), output: WORDS };

/** Token counts of one answer. */
export interface Tokens {
  readonly input: number;
  readonly output: number;
}

/** One request as its caller saw it. */
export interface CallerRequest {
  readonly askedAtMs: number;
  readonly endedAtMs: number;
  /** `hung`: it had not ended when its time was up. */
  readonly end: 'answered' | 'failed' | 'hung';
  /** All the text that reached the caller. */
  readonly text: string;
  /** The model that the answer names. */
  readonly model?: string | undefined;
  readonly usage?: Tokens | undefined;
  /** What the error said. */
  readonly message?: string | undefined;
}

/** One completion that a provider was asked for. */
export interface ProviderAttempt {
  readonly atMs: number;
  /** Whether it sent every token of an answer. */
  readonly isAnswered: boolean;
}

/** What the system under test booked for one upstream. */
export interface Bill {
  readonly usdNanos: number;
  readonly outputTokens: number;
}

/** Both views of one fault. */
export interface History {
  readonly requests: readonly CallerRequest[];
  readonly primary: readonly ProviderAttempt[];
  readonly fallback: readonly ProviderAttempt[];
  /** Undefined: it keeps no accounts. */
  readonly bills?: Readonly<Record<Side, Bill>> | undefined;
}

/** Reads the completions out of a provider's log; looks at its models are nobody's attempt. */
export function readAttempts(log: readonly SimulatorRequest[], beganAtMs: number): readonly ProviderAttempt[] {
  return log
    .filter(({ method }) => method === 'POST')
    .map(({ atMs, tokensSent }) => ({ atMs: atMs - beganAtMs, isAnswered: tokensSent >= WORDS }));
}

/** The whole answer of one upstream. */
export function wholeText(side: Side): string {
  return writeWords(side, PROMPT, WORDS).join('');
}

/** What a text is: the answer of one upstream, the beginning of one, or neither. */
export type Text =
  | { readonly kind: 'whole'; readonly side: Side }
  | { readonly kind: 'part'; readonly words: number }
  | { readonly kind: 'none' }
  /** Two answers glued together, one with a hole, or something else that nobody said. */
  | { readonly kind: 'garbled' };

/** Recognises a text. */
export function readText(text: string): Text {
  if (text === '') return { kind: 'none' };
  const sides: readonly Side[] = ['primary', 'fallback'];
  const side = sides.find((candidate) => wholeText(candidate) === text);
  if (side !== undefined) return { kind: 'whole', side };
  const isPart = sides.some((candidate) => wholeText(candidate).startsWith(text));
  return isPart ? { kind: 'part', words: countWords(text) } : { kind: 'garbled' };
}
