/** What people read: tables, amounts, ages. Text from outside is made harmless before it reaches a terminal. */

/** Takes out control characters, which could rewrite what a terminal shows; keeps tabs and line ends. */
export function printable(text: string): string {
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '');
}

/** Renders rows under headings, columns two spaces apart. A cell is one line. */
export function renderTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [headings, ...rows].map((row) => row.map((cell) => printable(cell).replaceAll(/\s+/g, ' ')));
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  const render = (line: readonly string[]): string =>
    widths
      .map((width, column) => (line[column] ?? '').padEnd(width))
      .join('  ')
      .trimEnd();
  return `${lines.map(render).join('\n')}\n`;
}

/** Renders integer nano-dollars exactly: at least cents, at most nine decimals. */
export function renderUsd(usdNanos: number): string {
  const sign = usdNanos < 0 ? '-' : '';
  const nanos = BigInt(Math.abs(Math.round(usdNanos)));
  const decimals = (nanos % 1_000_000_000n).toString().padStart(9, '0');
  return `${sign}$${nanos / 1_000_000_000n}.${decimals.slice(0, 2)}${decimals.slice(2).replace(/0+$/, '')}`;
}

/** Renders a duration in its largest fitting unit. */
export function renderDuration(durationMs: number): string {
  if (durationMs < 1_000) return `${Math.round(durationMs)} ms`;
  if (durationMs < 60_000) return `${(durationMs / 1_000).toFixed(1)} s`;
  if (durationMs < 3_600_000) return `${Math.floor(durationMs / 60_000)} min`;
  if (durationMs < 86_400_000) return `${Math.floor(durationMs / 3_600_000)} h`;
  return `${Math.floor(durationMs / 86_400_000)} d`;
}

/** Unknown is `-`, never zero. */
export function renderOptional<Value>(value: Value | null | undefined, render: (value: Value) => string): string {
  return value === null || value === undefined ? '-' : render(value);
}
