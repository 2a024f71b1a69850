/** When a spend limit ends: Anthropic says so in words only, where everybody else sends a Retry-After. */

const REGAINED = /regain access on (\d{4}-\d{2}-\d{2})(?: at (\d{2}:\d{2}) UTC)?/;

/** Ms until a spent limit is reset, where the words of the refusal name the day. */
export function parseRegainedAt(words: string, wallMs: number): number | undefined {
  const [, day, time = '00:00'] = REGAINED.exec(words) ?? [];
  const at = day === undefined ? Number.NaN : Date.parse(`${day}T${time}:00Z`);
  return Number.isNaN(at) ? undefined : Math.max(0, at - wallMs);
}
