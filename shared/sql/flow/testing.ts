/**
 * For tests: the fixture database as a real server's catalogs, its protected columns, and a result in one line.
 *
 * The line: each output column as `-` (nothing protected), `=email` (that column, unchanged) or `~email,ssn` (computed);
 * `()` when there are no rows; `…` when there may be more. Then what else was found: `eq:`, `inf:` and `enum:` inferences, `sink:` kinds,
 * `?` unknown codes.
 */

import { buildCatalog } from './build-catalog.ts';
import type { CatalogSnapshot } from './catalog.ts';
import type { CatalogQueryName } from './catalog-queries.ts';
import catalog15 from './fixtures/catalog-15.golden.json' with { type: 'json' };
import catalog18 from './fixtures/catalog-18.golden.json' with { type: 'json' };
import type { FlowResult } from './result.ts';

export function fixtureCatalog(major: 15 | 18): CatalogSnapshot {
  const golden = major === 15 ? catalog15 : catalog18;
  return buildCatalog(golden.version, golden.texts satisfies Record<CatalogQueryName, string>);
}

const PROTECTED: ReadonlySet<string> = new Set([
  'public.customers.email',
  'public.customers.ssn',
  'public.events.actor',
  'public.employees.phone',
  'sales.accounts.secret',
]);

export function protects(schema: string, table: string, column: string): boolean {
  return PROTECTED.has(`${schema}.${table}.${column}`);
}

const short = (labels: Iterable<string>): string =>
  [...labels]
    .map(label => label.split('.').at(-1) ?? '')
    .sort((a, b) => (a < b ? -1 : 1))
    .join(',');

export function line(result: FlowResult): string {
  const columns = result.columns?.map(({ labels, plains }) =>
    labels.size === 0 ? '-' : `${plains === null ? '~' : '='}${short(labels)}`,
  ) ?? ['()'];
  if (!result.complete) columns.push(`…${short(result.restLabels)}`);
  const found: string[] = [];
  const equality = result.inferences.filter(inference => inference.kind === 'equality').map(inference => inference.column);
  const other = result.inferences.filter(inference => inference.kind === 'other').map(inference => inference.column);
  const enumeration = result.inferences.filter(inference => inference.kind === 'enumeration').map(inference => inference.column);
  if (equality.length > 0) found.push(`eq:${short(equality)}`);
  if (other.length > 0) found.push(`inf:${short(other)}`);
  if (enumeration.length > 0) found.push(`enum:${short(enumeration)}`);
  const sinks = [...new Set(result.sinks.map(sink => sink.kind))].sort();
  if (sinks.length > 0) found.push(`sink:${sinks.join(',')}`);
  for (const code of new Set(result.unknown.map(reason => reason.code))) found.push(`?${code}`);
  return [...columns, ...found].join(' ');
}
