/** How `apply` and `plan` show what the control plane says about manifests. */
import { shownPath } from './shown-path.ts';
import { printable } from './table.ts';
import type { Style } from './terminal.ts';

export interface ChangeReport {
  changes: {
    kind: string;
    name: string;
    change: 'created' | 'configured' | 'unchanged' | 'deleted';
    diff?: { path: string; before?: unknown; after?: unknown }[];
  }[];
  /** Of a rehearsal. */
  etag?: string;
  warnings?: { file: string; line: number; column: number; message: string }[];
}

const PLANNED = { created: 'would be created', configured: 'would change', unchanged: 'unchanged', deleted: 'would be deleted' } as const;

/** One line per manifest, and below it one per field that changes. */
export function changeLines(report: ChangeReport, dryRun: boolean, style: Style): string[] {
  const color = { created: style.green, configured: style.yellow, deleted: style.red, unchanged: style.dim };
  const lines = (report.warnings ?? []).map(warning => `${style.yellow('warning:')} ${warningText(warning)}`);
  for (const { kind, name, change, diff } of report.changes) {
    lines.push(`${kind}/${name} ${color[change](dryRun ? PLANNED[change] : change)}`);
    if (change !== 'configured') continue;
    for (const { path, before, after } of diff ?? []) lines.push(...fieldLines(path, before, after, style));
  }
  if (lines.length === 0) lines.push('nothing to do');
  return lines;
}

/** One line for a value; for a list, one for each element that goes or comes. */
function fieldLines(path: string, before: unknown, after: unknown, style: Style): string[] {
  if (!Array.isArray(before) || !Array.isArray(after)) return [`  ${path}: ${shown(before)} → ${shown(after)}`];
  const [old, now] = [before.map(shown), after.map(shown)];
  const gone = old.filter(element => !now.includes(element)).map(element => style.red(`    - ${element}`));
  const come = now.filter(element => !old.includes(element)).map(element => style.green(`    + ${element}`));
  return [`  ${path}:${gone.length + come.length === 0 ? ' in another order' : ''}`, ...gone, ...come];
}

function warningText({ file, line, column, message }: NonNullable<ChangeReport['warnings']>[number]): string {
  return `${shownPath(file)}:${line}:${column}: ${message}`;
}

function shown(value: unknown): string {
  return value === undefined ? '(not set)' : printable(JSON.stringify(value)).slice(0, 120);
}
