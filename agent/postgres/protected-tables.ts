/** Does a table that a statement names have columns that some rule protects? Views count by what they are made from. */
import type { ColumnRule, SessionPolicy } from '@sallyport/shared/policy/decide.ts';
import type { CatalogIndex } from './catalog-index.ts';

/** @param object `schema.table` as the analysis gives it; `*` for a schema that the text does not name. */
export function tableHasRule(
  object: string,
  policy: SessionPolicy,
  catalog: CatalogIndex | null,
  counts: (rule: ColumnRule) => boolean,
): boolean {
  const matches = (rule: ColumnRule | null) => rule !== null && counts(rule);
  const dot = object.indexOf('.');
  const schema = dot < 0 ? '*' : object.slice(0, dot);
  const table = object.slice(dot + 1);
  let known = false;
  for (const [oid, relation] of catalog?.entries() ?? []) {
    if (relation.name !== table || (schema !== '*' && relation.schema !== schema)) continue;
    known = true;
    for (let column = 1; column < relation.columns.length; column++) {
      if (relation.columns[column] === undefined) continue;
      for (const origin of catalog?.originsOf(oid, column, true) ?? []) {
        if (matches(policy.column(origin.schema, origin.table, origin.column))) return true;
      }
    }
  }
  // A table that the catalog does not show may be anything.
  return known ? false : matches(policy.column(schema, table, '*'));
}

/** Does a text name one, as a word of its own? */
export function namesProtectedTable(text: string, policy: SessionPolicy, catalog: CatalogIndex | null): boolean {
  const checked = new Set<string>();
  for (const [, { schema, name }] of catalog?.entries() ?? []) {
    const id = `${schema}.${name}`;
    if (checked.has(id) || !hasWord(text, name)) continue;
    checked.add(id);
    if (tableHasRule(id, policy, catalog, () => true)) return true;
  }
  return false;
}

const WORD = /[\p{L}\p{N}_$]/u;

function hasWord(text: string, word: string): boolean {
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1))
    if (!WORD.test(text[at - 1] ?? ' ') && !WORD.test(text[at + word.length] ?? ' ')) return true;
  return false;
}
