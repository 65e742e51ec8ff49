/** Aligned tables for people. Machines ask for `--json`. */
import type { Style } from './terminal.ts';

export interface Column<Row> {
  title: string;
  value(row: Row): string | number | undefined;
  align?: 'right';
}

/**
 * Lays rows out under their titles, columns two spaces apart. Control characters in values are shown as `·`, so that nothing
 * that a client sent can move the reader's cursor.
 *
 * @returns the table without a final newline; when there are no rows, only `empty`.
 */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[], style: Style, empty: string): string {
  if (rows.length === 0) return empty;
  const cells = rows.map(row => columns.map(column => printable(String(column.value(row) ?? ''))));
  const widths = columns.map((column, index) => Math.max(column.title.length, ...cells.map(line => line[index]?.length ?? 0)));
  const line = (values: readonly string[]) =>
    values
      .map((value, index) => (columns[index]?.align === 'right' ? value.padStart(widths[index] ?? 0) : value.padEnd(widths[index] ?? 0)))
      .join('  ')
      .trimEnd();
  return [style.dim(line(columns.map(({ title }) => title))), ...cells.map(line)].join('\n');
}

/** One line of text: control and direction-changing characters replaced, white space collapsed. */
export function printable(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, '·');
}

/** `text` cut to `length` characters, with an ellipsis where it was cut. */
export function shortened(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

/** Labels as `key=value,key=value`. */
export function pairs(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}
