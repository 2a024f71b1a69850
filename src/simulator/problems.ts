/**
 * The errors an upstream can answer with, in the words of the two APIs. Messages, types and codes are those of recorded
 * answers where there is one, so that a classifier is tested against what it will meet.
 */

export type ProblemName =
  | 'invalid-request'
  | 'unauthorized'
  | 'payment'
  | 'quota'
  | 'forbidden'
  | 'not-found'
  | 'model'
  | 'timeout'
  | 'too-large'
  | 'rate-limit'
  | 'server'
  | 'unavailable'
  | 'overloaded'
  | 'context'
  | 'policy'
  | 'prefill';

/** One error as it is served. */
export interface Problem {
  readonly name: ProblemName;
  readonly status: number;
  readonly message: string;
  /** Sent as Retry-After. */
  readonly retryAfterSeconds?: number | undefined;
  /** The request field at fault, in the OpenAI shape. */
  readonly param?: string | undefined;
}

interface ProblemForm {
  readonly status: number;
  readonly message: string;
  readonly openai: { readonly type: string; readonly code: string | null };
  readonly anthropicType: string;
  /** Where this API answers with another status and other words. */
  readonly anthropic?: { readonly status: number; readonly message: string };
}

const invalid = (code: string | null) => ({ type: 'invalid_request_error', code });

/** How each problem looks on each wire. */
export const PROBLEM_FORMS: Readonly<Record<ProblemName, ProblemForm>> = {
  'invalid-request': {
    status: 400,
    message: 'The request is not valid.',
    openai: invalid(null),
    anthropicType: 'invalid_request_error',
  },
  unauthorized: {
    status: 401,
    message: 'Incorrect API key provided.',
    openai: invalid('invalid_api_key'),
    anthropicType: 'authentication_error',
  },
  payment: {
    status: 402,
    message: 'Insufficient balance.',
    openai: { type: 'billing_error', code: 'insufficient_balance' },
    anthropicType: 'billing_error',
  },
  quota: {
    status: 429,
    message: 'You exceeded your current quota, please check your plan and billing details.',
    openai: { type: 'insufficient_quota', code: 'insufficient_quota' },
    // Sent as a bad request: only the message tells that it is about money.
    anthropicType: 'invalid_request_error',
    anthropic: {
      status: 400,
      message:
        'Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to purchase credits.',
    },
  },
  forbidden: {
    status: 403,
    message: 'You are not allowed to use this model.',
    openai: { type: 'request_forbidden', code: 'permission_denied' },
    anthropicType: 'permission_error',
  },
  'not-found': {
    status: 404,
    message: 'Nothing is served at this address.',
    openai: invalid(null),
    anthropicType: 'not_found_error',
  },
  model: {
    status: 404,
    message: 'The model does not exist or you do not have access to it.',
    openai: invalid('model_not_found'),
    anthropicType: 'not_found_error',
  },
  timeout: {
    status: 408,
    message: 'The request took too long.',
    openai: { type: 'server_error', code: null },
    anthropicType: 'timeout_error',
  },
  'too-large': {
    status: 413,
    message: 'The request body is too large.',
    openai: invalid(null),
    anthropicType: 'request_too_large',
  },
  'rate-limit': {
    status: 429,
    message: 'Rate limit reached. Please try again later.',
    openai: { type: 'requests', code: 'rate_limit_exceeded' },
    anthropicType: 'rate_limit_error',
  },
  server: {
    status: 500,
    message: 'The server had an error while processing your request.',
    openai: { type: 'server_error', code: null },
    anthropicType: 'api_error',
  },
  unavailable: {
    status: 503,
    message: 'The service is temporarily unavailable.',
    openai: { type: 'service_unavailable', code: null },
    anthropicType: 'api_error',
  },
  overloaded: {
    status: 529,
    message: 'Overloaded',
    openai: { type: 'overloaded_error', code: 'overloaded' },
    anthropicType: 'overloaded_error',
  },
  context: {
    status: 400,
    message: "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
    openai: invalid('context_length_exceeded'),
    anthropicType: 'invalid_request_error',
    anthropic: { status: 400, message: 'prompt is too long: 208310 tokens > 200000 maximum' },
  },
  policy: {
    status: 400,
    message: 'Your request was rejected as a result of our safety system.',
    openai: invalid('content_policy_violation'),
    anthropicType: 'invalid_request_error',
    anthropic: { status: 400, message: 'Output blocked by content filtering policy' },
  },
  prefill: {
    status: 400,
    message: 'This model does not support assistant message prefill. The conversation must end with a user message.',
    openai: invalid(null),
    anthropicType: 'invalid_request_error',
  },
};

const NAMES_BY_STATUS: Readonly<Record<number, ProblemName>> = {
  401: 'unauthorized',
  402: 'payment',
  403: 'forbidden',
  404: 'model',
  408: 'timeout',
  413: 'too-large',
  429: 'rate-limit',
  503: 'unavailable',
  529: 'overloaded',
};

/** Builds a problem by its name. */
export function createProblem(name: ProblemName, details: Partial<Omit<Problem, 'name'>> = {}): Problem {
  const { status, message } = PROBLEM_FORMS[name];
  return { name, status, message, ...details };
}

/** Builds the problem that an upstream would mean by a status. */
export function createProblemOfStatus(status: number, retryAfterSeconds?: number): Problem {
  const name = NAMES_BY_STATUS[status] ?? (status < 500 ? 'invalid-request' : 'server');
  return createProblem(name, { status, retryAfterSeconds });
}
