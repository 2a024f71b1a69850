/** What callers check of what they are told: a whole answer at its price, and an error that says something true. */
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { CompletionResponse } from '../../src/contract/response.ts';
import type { CallersDeps } from './callers.ts';
import type { Ticket } from './tickets.ts';
import { ANSWER, INPUT_TOKENS, TOKENS_PER_PART } from './upstream.ts';

/** An answer is whole, meant for who got it, and costs what it should. */
export function judgeAnswer({ chronicle }: CallersDeps, response: CompletionResponse, ticket: Ticket): void {
  const answer = ANSWER.exec(response.text)?.groups;
  chronicle.expect(
    answer !== undefined &&
      answer['provider'] === response.provider &&
      (ticket.hasKey || answer['prompt'] === ticket.prompt) &&
      answer['body']?.trim().split(' ').length === Number(answer['parts']),
    'an answer is whole, and the one that was asked for',
    () => `${ticket.prompt} got from ${response.provider}: ${response.text}`,
  );
  const outputTokens = Number(answer?.['parts']) * TOKENS_PER_PART;
  const { usage, cost } = response;
  chronicle.expect(
    usage.outputTokens === undefined
      ? cost === undefined
      : usage.outputTokens === outputTokens && cost?.usdNanos === INPUT_TOKENS * 1_000 + outputTokens * 2_000,
    'an answer costs what its provider says was used',
    () => `${ticket.prompt}: ${JSON.stringify({ usage, cost, outputTokens })}`,
  );
}

/** Notes an error. @throws whatever is not a `SwitchgearError` */
export function noteFailure(deps: CallersDeps, error: unknown, ticket: Ticket): void {
  const { chronicle } = deps;
  if (!(error instanceof SwitchgearError)) throw error;
  chronicle.count(`error: ${error.code}`);
  chronicle.note(`${ticket.prompt} fails: ${error.code} (${error.attempts.length} attempts)`);
  const isNews = ticket.mode !== 'async' && !ticket.hasKey;
  if (error.code === 'providers-unavailable' && isNews) judgeRetryAfter(deps, error, ticket);
}

/** When all that could serve are open, the first of them to re-open says when to come back. */
function judgeRetryAfter(deps: CallersDeps, error: SwitchgearError, ticket: Ticket): void {
  const { clock, chronicle, providers } = deps;
  const states = Object.entries(deps.service()?.providerStates() ?? {}).filter(
    ([name]) => providers.includes(name) && (ticket.pin === undefined || ticket.pin === name),
  );
  const areAllOpen = states.every(
    ([, { breaker, credentials, isDown, isSuspended, quarantinedModels }]) =>
      breaker.state === 'open' &&
      !isDown &&
      !isSuspended &&
      quarantinedModels.length === 0 &&
      credentials.every(({ state }) => state === 'usable'),
  );
  const isAnyTried = error.attempts.length > 0;
  if (!areAllOpen || isAnyTried || states.length === 0) return;
  const firstMs = Math.min(...states.map(([, { breaker }]) => (breaker.nextProbeAt ?? 0) - clock.wallMs()));
  chronicle.count('retry-after judged');
  chronicle.expect(
    Math.abs((error.retryAfterMs ?? Number.NaN) - Math.max(1_000, firstMs)) <= 2,
    'a Retry-After is true',
    () =>
      `${ticket.prompt} is told ${error.retryAfterMs} ms, the first breaker half-opens in ${firstMs} ms: ${error.message}`,
  );
}

/** The request of a ticket is over. */
export function endTicket({ clock, tickets }: Pick<CallersDeps, 'clock' | 'tickets'>, ticket: Ticket): void {
  ticket.goneAtMs ??= clock.nowMs();
  tickets.forget(ticket);
}

/** For people. */
export function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
