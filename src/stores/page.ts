/** Cuts a list in pages. */
import type { Page } from '../contract/batches.ts';

/** Those that come after `page.after`; none when that one is not in the list any more. */
export function pageOf<Item>(items: readonly Item[], idOf: (item: Item) => string, page: Page): readonly Item[] {
  const from = page.after === undefined ? 0 : items.findIndex((item) => idOf(item) === page.after) + 1;
  return page.after !== undefined && from === 0 ? [] : items.slice(from, from + page.max);
}
