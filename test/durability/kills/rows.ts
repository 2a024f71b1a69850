/** What is in the file when nobody has it open any more. */
import { DatabaseSync } from 'node:sqlite';
import type { Settlement } from '../../../src/contract/records.ts';
import type { StoredRow } from './history.ts';

export function readRows(path: string): readonly StoredRow[] {
  const database = new DatabaseSync(path);
  const verdict = database.prepare('PRAGMA integrity_check').get();
  if (verdict?.['integrity_check'] !== 'ok')
    throw new Error(`expected an intact file, got: ${JSON.stringify(verdict)}`);
  const rows = database
    .prepare(
      `SELECT id, status, recoveries, body, settlement, (SELECT count(*) FROM settlements WHERE seq = requests.seq) AS settlements
       FROM requests JOIN bodies USING (seq) LEFT JOIN settlements USING (seq) ORDER BY seq`,
    )
    .all();
  database.close();
  return rows.map((row) => ({
    requestId: String(row['id']),
    tag: /<([^>]+)>/.exec(String(row['body']))?.[1] ?? '',
    standing: standingOf(String(row['status']), row['settlement']),
    recoveries: Number(row['recoveries']),
    settlements: Number(row['settlements']),
  }));
}

/** In the words of the wire. */
function standingOf(status: string, settlement: unknown): string {
  if (typeof settlement !== 'string') return status;
  const end = JSON.parse(settlement) as Settlement;
  if (end.status !== 'succeeded') return `${end.status} ${end.error.code}`;
  return `succeeded ${end.response.kind === 'completion' ? end.response.text : ''}`;
}
