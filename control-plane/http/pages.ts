/** Long listings in pages: `limit` and `cursor` in, `next` out. A cursor names the last row that was seen, so that changes in between
 * neither repeat rows nor leave any out. */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { Type } from 'typebox';

export const pageRowsMax = 1000;

export const PageQuery = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: pageRowsMax, default: pageRowsMax, description: 'Rows of one page' })),
  cursor: Type.Optional(Type.String({ maxLength: 1024, description: '`next` of the page before' })),
};
export const Next = Type.Union([Type.String(), Type.Null()], { description: 'Cursor of the next page; null: this is the last' });

/**
 * @param keyOf unique for each row.
 * @returns the rows after the cursor in the order of their keys, and the next cursor.
 * @throws {GatewayError} CURSOR_INVALID.
 */
export function pageOf<Row>(
  rows: readonly Row[],
  keyOf: (row: Row) => string,
  { limit = pageRowsMax, cursor }: { limit?: number; cursor?: string },
): { rows: Row[]; next: string | null } {
  const after = cursor === undefined ? null : decoded(cursor);
  const keyed = rows.map(row => ({ key: keyOf(row), row })).sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  const start = after === null ? 0 : keyed.findIndex(({ key }) => key > after);
  const page = start < 0 ? [] : keyed.slice(start, start + limit);
  const last = page.at(-1);
  const isLast = last === undefined || start + limit >= keyed.length;
  return { rows: page.map(({ row }) => row), next: isLast ? null : Buffer.from(last.key, 'utf8').toString('base64url') };
}

function decoded(cursor: string): string {
  const bytes = Buffer.from(cursor, 'base64url');
  if (bytes.toString('base64url') !== cursor || bytes.length === 0) {
    throw new GatewayError('CURSOR_INVALID', 'invalid', 'The cursor is none that this API gave: start without one.');
  }
  return bytes.toString('utf8');
}
