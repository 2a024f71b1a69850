/**
 * The class of an error answer. Statuses come first, because they are what providers agree on; codes and wordings are
 * consulted where one status means several things: a 429 that no waiting cures, a 400 that a larger context window would
 * cure, a 403 that is a content filter or about the model and not the key. The wordings are collected from the APIs of OpenAI, Anthropic, Mistral, Groq,
 * DeepSeek, OpenRouter, Azure, Google, Ollama and vLLM.
 */
import type { FailureKind } from '../contract/failures.ts';

export interface UpstreamReport {
  readonly status: number | undefined;
  readonly type: string | undefined;
  readonly code: string | undefined;
  readonly message: string;
  readonly isInStream: boolean;
  readonly hasRetryAfter: boolean;
  /** The body is a page for people: something in between answered, not the API. */
  readonly isPage?: boolean;
}

const QUOTA_CODES =
  /insufficient_(quota|credits|balance)|billing|credit_balance|spend_limit_reached|organization_on_hold|payment_required/;
const QUOTA_WORDS =
  /credit balance|insufficient (credits?|balance|quota|funds)|exceeded your current quota|spend(ing)? limit|billing (hard )?limit|(out of|no( remaining)?|used all( \w+)?|more) credits|plan and billing|monthly (usage )?limit|payment required|specified api usage limits/;
/** Money that is gone stays gone, even where a Retry-After goes with it. */
const SPENT_WORDS = /spend(ing)? limit|credit balance|specified api usage limits/;
/** A 429 about one request: it asks for more than a whole minute holds, or for a context that was not booked. */
const OVERSIZED_WORDS = /request too large for|tokens must be reduced|long context requests/;
const AFFORDABLE_WORDS = /fewer max_tokens|lower max_tokens|can only afford/;
const MODEL_CODES =
  /^(model_not_found|model_not_available|invalid_model|unknown_model|deploymentnotfound|model_decommissioned)$/;
const MODEL_WORDS =
  /model ['"`]?[\w./:@-]*['"`]? ?(does not exist|not exist|not found|is not found|was not found|is not available|is not supported|has been (decommissioned|deprecated))|no such model|unknown model|invalid model|is not a valid model|model not exist/;
/** What a 403 says of a model and not of the key. */
const MODEL_ACCESS_WORDS =
  /\b(access|allowed|authorized|entitled|permission|permitted)\b.{0,40}\bmodel\b|\bmodel\b.{0,60}\b(access (is )?denied|not (accessible|allowed|available|enabled|permitted))\b/;
const CONTEXT_CODES =
  /context_length_exceeded|context_window_exceeded|model_context_window|request_too_large|prompt_too_long/;
const CONTEXT_WORDS =
  /(maximum|max) context length|context (length|window|limit)( is| of|:)? ?(exceeded|\d)|exceeds? (the |this |your )?(model'?s? )?(\w+ )?(context|token limit|maximum number of (input )?tokens|input token)|prompt (is )?too long|input (is )?too long|input length and .?max_tokens.? exceed|reduce the length of the (messages|prompt|input)|too many (input )?tokens|input token count .*exceeds|request (entity )?too large|longer than the (model'?s )?(maximum )?context|larger than the (maximum )?context/;
const CONTENT_CODES =
  /content_policy_violation|content_filter|responsibleaipolicyviolation|moderation_blocked|safety|image_content_policy|prohibited_content|data_inspection_failed/;
const CONTENT_WORDS =
  /content management policy|content (filter|policy|moderation)|safety system|usage polic(y|ies)|was flagged|flagged (as|by|for)|requires moderation|blocked by .*(filter|safety|moderation)|violat(es|ed|ing) .*polic/;

/** What an error event means as a status, for events that do not say. */
const STATUS_OF_TYPE: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  invalid_api_key: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  rate_limit_exceeded: 429,
  tokens: 429,
  requests: 429,
  insufficient_quota: 429,
  context_length_exceeded: 400,
  content_filter: 400,
  content_policy_violation: 400,
  api_error: 500,
  server_error: 500,
  internal_server_error: 500,
  timeout_error: 504,
  overloaded_error: 529,
  model_not_found: 404,
};

/** Names the class of an error answer, and the status it counts as. */
export function judgeUpstream(report: UpstreamReport): { kind: FailureKind; status: number | undefined } {
  const implied = STATUS_OF_TYPE[report.type ?? ''] ?? STATUS_OF_TYPE[report.code ?? ''];
  const status = report.status ?? implied ?? (report.isInStream ? 500 : undefined);
  return {
    kind: status === undefined ? 'upstream-error' : judgeStatus(status, report),
    status: report.status ?? implied,
  };
}

function judgeStatus(status: number, report: UpstreamReport): FailureKind {
  const codes = `${report.code ?? ''} ${report.type ?? ''}`.toLowerCase();
  const words = report.message.toLowerCase();
  if (status === 529 || /\boverloaded_error\b/.test(codes)) return 'overloaded';
  if (status === 408 || status >= 500) return 'upstream-error';
  if (status === 429) return judgeTooMany(report, codes, words);
  if (status === 402) return AFFORDABLE_WORDS.test(words) ? 'invalid-request' : 'quota-exhausted';
  if (QUOTA_CODES.test(codes)) return 'quota-exhausted';
  if (status === 401) return 'unauthorized';
  if (MODEL_CODES.test((report.code ?? '').toLowerCase())) return 'model-not-found';
  if (status === 403) return report.isPage === true ? 'false-success' : judgeForbidden(codes, words);
  if (status === 404) return 'model-not-found';
  if (status === 413 || CONTEXT_CODES.test(codes)) return 'context-too-long';
  return judgeBadRequest(codes, words);
}

/** A limit that passes, or one that only money lifts. A provider that says when to come back means the former. */
function judgeTooMany(report: UpstreamReport, codes: string, words: string): FailureKind {
  if (QUOTA_CODES.test(codes) || SPENT_WORDS.test(words)) return 'quota-exhausted';
  if (OVERSIZED_WORDS.test(words)) return 'context-too-long';
  if (report.code === 'rate_limit_exceeded' || report.hasRetryAfter) return 'rate-limited';
  return QUOTA_WORDS.test(words) ? 'quota-exhausted' : 'rate-limited';
}

function judgeForbidden(codes: string, words: string): FailureKind {
  if (CONTENT_CODES.test(codes) || CONTENT_WORDS.test(words)) return 'content-filtered';
  if (QUOTA_WORDS.test(words)) return 'quota-exhausted';
  return MODEL_ACCESS_WORDS.test(words) || MODEL_WORDS.test(words) ? 'model-not-found' : 'unauthorized';
}

function judgeBadRequest(codes: string, words: string): FailureKind {
  if (CONTENT_CODES.test(codes)) return 'content-filtered';
  if (CONTEXT_WORDS.test(words)) return 'context-too-long';
  if (CONTENT_WORDS.test(words)) return 'content-filtered';
  if (MODEL_WORDS.test(words)) return 'model-not-found';
  return QUOTA_WORDS.test(words) ? 'quota-exhausted' : 'invalid-request';
}
