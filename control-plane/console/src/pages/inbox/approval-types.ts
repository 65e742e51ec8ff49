/** An approval as the console reads it: of a held command, or of a request for access. */

import type * as schemas from '../../../../http/schemas.ts';
import type { Me } from '../../api/me.ts';

export type Preview = NonNullable<schemas.Approval['preview']>;
export type RowSample = NonNullable<Preview['before']>;

export type Approval = schemas.Approval;

export function isAccess({ kind }: Pick<Approval, 'kind'>): boolean {
  return kind === 'access';
}

/** Whoever asks never answers; the control plane holds that, this only says it before. */
export function isOwn({ principal }: Pick<Approval, 'principal'>, me: Pick<Me, 'name' | 'kind'>): boolean {
  return principal.kind === me.kind && principal.name === me.name;
}

/** The groups that must approve are the ones that may answer. */
export function mayAnswer(approval: Approval, me: Me): boolean {
  return (
    approval.state === 'pending' &&
    !isOwn(approval, me) &&
    me.kind === 'person' &&
    approval.groups.some(group => me.groups.includes(group)) &&
    !approval.approvedBy.includes(me.name)
  );
}

export interface DiffCell {
  before: string | null | undefined;
  after: string | null | undefined;
  changed: boolean;
}

export interface DiffRow {
  kind: 'changed' | 'removed' | 'added' | 'same';
  cells: DiffCell[];
}

/** Rows before and after side by side. The n-th row after is what became of the n-th before, where both are there. */
export function difference(before: RowSample | null, after: RowSample | null): { columns: string[]; rows: DiffRow[] } {
  const columns = [...new Set([...(before?.columns ?? []), ...(after?.columns ?? [])])];
  const count = Math.max(before?.rows.length ?? 0, after?.rows.length ?? 0);
  const textAt = (sample: RowSample | null, row: number, column: string): string | null | undefined => {
    const values = sample?.rows[row];
    const at = sample?.columns.indexOf(column) ?? -1;
    return values === undefined || at < 0 ? undefined : (values[at] ?? null);
  };
  const rows = Array.from({ length: count }, (_, row): DiffRow => {
    const cells = columns.map((column): DiffCell => {
      const [old, next] = [textAt(before, row, column), textAt(after, row, column)];
      return { before: old, after: next, changed: old !== next };
    });
    const [had, has] = [before?.rows[row] !== undefined, after?.rows[row] !== undefined];
    return { kind: had && has ? (cells.some(({ changed }) => changed) ? 'changed' : 'same') : had ? 'removed' : 'added', cells };
  });
  return { columns, rows };
}
