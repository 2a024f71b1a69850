/** The query of lists that come in pages. */
import type { Page } from '../../contract/batches.ts';
import { refuse } from '../check.ts';
import { readQuery } from '../query.ts';

const NAMES = ['after', 'limit', 'order', 'purpose', 'idempotency_key'];

/** @throws {SwitchgearError} `invalid-request` */
export function parseListQuery(
  query: unknown,
  { limitMax, limitDefault }: { readonly limitMax: number; readonly limitDefault: number },
): { readonly after?: string; readonly limit: number } {
  const { after, limit, order } = readQuery(query, NAMES);
  if (order !== undefined && order !== 'desc') throw refuse('order', 'desc: lists begin with the newest', order);
  const count = limit === undefined ? limitDefault : /^\d{1,6}$/.test(limit) ? Number(limit) : 0;
  if (count < 1) throw refuse('limit', 'a positive integer', limit);
  return { limit: Math.min(count, limitMax), ...(after !== undefined && { after }) };
}

/** One more than asked for tells whether there are further ones. */
export function pageOf({ after, limit }: { readonly after?: string; readonly limit: number }): Page {
  return { max: limit + 1, ...(after !== undefined && { after }) };
}
