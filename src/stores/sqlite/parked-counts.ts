/**
 * How many requests are parked, by class and tenant: kept beside the table, because counting a million rows takes too long to
 * do often. Changes count once their transaction is committed.
 */
import type { DatabaseSync } from 'node:sqlite';

export interface ParkedGroup {
  /** As stored: 0 is the most urgent. */
  readonly priority: number;
  readonly tenant: string;
}

interface CountedGroup extends ParkedGroup {
  count: number;
}

export class ParkedCounts {
  readonly #groups = new Map<string, CountedGroup>();
  #pending: (readonly [ParkedGroup, number])[] = [];
  #total = 0;

  constructor(database: DatabaseSync) {
    const rows = database
      .prepare(
        `SELECT priority, tenant, count(*) AS count FROM requests
         WHERE status = 'queued' AND owner = 0 GROUP BY priority, tenant`,
      )
      .all();
    for (const row of rows)
      this.#apply({ priority: Number(row['priority']), tenant: String(row['tenant']) }, Number(row['count']));
  }

  get total(): number {
    return this.#total;
  }

  /** Groups that have any; within a class those first that were not served for longest. */
  groups(): readonly ParkedGroup[] {
    return [...this.#groups.values()];
  }

  /** Whoever was served goes behind the others. */
  served(group: ParkedGroup): void {
    const key = keyOf(group);
    const known = this.#groups.get(key);
    if (known === undefined) return;
    this.#groups.delete(key);
    this.#groups.set(key, known);
  }

  add(group: ParkedGroup, count: number): void {
    this.#pending.push([group, count]);
  }

  commit(): void {
    for (const [group, count] of this.#pending) this.#apply(group, count);
    this.#pending = [];
  }

  rollback(): void {
    this.#pending = [];
  }

  #apply(group: ParkedGroup, change: number): void {
    const key = keyOf(group);
    const count = (this.#groups.get(key)?.count ?? 0) + change;
    this.#total += change;
    if (count <= 0) this.#groups.delete(key);
    else this.#groups.set(key, { priority: group.priority, tenant: group.tenant, count });
  }
}

function keyOf({ priority, tenant }: ParkedGroup): string {
  return `${priority} ${tenant}`;
}
