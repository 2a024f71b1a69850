/** Parses what users type behind options. Each function throws what commander turns into a usage error. */
import { InvalidArgumentError } from 'commander';
import { EXIT } from '../daemon/exit-code.ts';
import { CliFailure } from './failure.ts';

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Builds a parser of whole numbers from `min` to `max`. */
export function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

/** Parses a moment: an ISO 8601 date or time, or how long ago, such as `24h`. Gives ISO 8601. */
export function parseMoment(text: string): string {
  const ago = /^(\d{1,6})([smhd])$/.exec(text);
  if (ago !== null) return new Date(Date.now() - Number(ago[1]) * (UNIT_MS[ago[2] ?? ''] ?? 0)).toISOString();
  const moment = /^\d{4}-\d{2}-\d{2}/.test(text) ? new Date(text) : new Date(Number.NaN);
  if (Number.isNaN(moment.getTime()))
    throw new InvalidArgumentError(
      'Expected a date such as 2026-01-31, a time in ISO 8601, or an age such as 24h or 7d.',
    );
  return moment.toISOString();
}

/** Checks a request id before it becomes part of a path. @throws {CliFailure} */
export function requestPath(requestId: string): string {
  if (!/^[A-Za-z0-9_-]{1,256}$/.test(requestId)) {
    throw new CliFailure(EXIT.usage, `expected ID to be a request id such as req_x1y2, got: ${requestId}`);
  }
  return `/v1/requests/${requestId}`;
}
