/**
 * Which columns and classes of data were seen where, by whom, masked or raw, from the recorded commands; and columns that nobody has
 * labelled in which detectors fire.
 *
 * A record says which columns a command read and which detectors fired, not in which column: detectors look at columns only that no
 * rule masks, so a command that read one such column is certain about it, and one that read several makes each of them possible.
 */
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import { rolledUpDays } from '../rollups/period.ts';
import { CLASSES, COLUMNS, FINDINGS, ofPeriod } from '../rollups/rollups.ts';
import type { ApiContext } from './context.ts';
import { type Protection, protectingManifest, protectionOf } from './protection.ts';

export interface DataMapRequest {
  resource: string | undefined;
  sinceMs: number;
  untilMs: number;
}

export interface SeenColumn {
  resource: string;
  column: string;
  protection: Protection | null;
  commands: number;
  rows: number;
  /** Commands whose answer had it masked, and in clear. */
  masked: number;
  clear: number;
  readers: number;
  /** Those who read it most. */
  mostOften: { principal: string; kind: string; commands: number; clear: number }[];
  lastAt: string;
  /** For /v1/search/commands. */
  query: string;
}

export interface SeenClass {
  resource: string;
  /** A detector's name. */
  class: string;
  commands: number;
  readers: number;
  lastAt: string;
  query: string;
}

export interface UnlabelledColumn {
  resource: string;
  column: string;
  detector: string;
  /** Commands that read no other column which it could have been in. */
  certain: number;
  commands: number;
  lastAt: string;
  /** Would protect it; null when the column's name cannot be written down for certain. */
  manifest: string | null;
  query: string;
}

export interface DataMap {
  since: string;
  until: string;
  columns: SeenColumn[];
  classes: SeenClass[];
  unlabelled: UnlabelledColumn[];
  /** There is more than is shown of one of them. */
  truncated: boolean;
}

const listedMax = 1000;
const readersShown = 5;

/** @throws {GatewayError} STORE_UNAVAILABLE. */
export async function dataMap({ history, control }: ApiContext, { resource, sinceMs, untilMs }: DataMapRequest): Promise<DataMap> {
  const [from, until] = [sinceMs, untilMs].map(ms => new Date(ms).toISOString().slice(0, -1).replace('T', ' '));
  const rolledUp = await rolledUpDays((sql, values) => history.rows(sql, values), from ?? '', until ?? '');
  const parameters = { ...rolledUp, since: from, until, resource: resource ?? '', limit: listedMax + 1 };
  const inPeriod = "at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}";
  const ofResource = "({resource:String} = '' OR resource = {resource:String})";
  const [columns, classes, unlabelled] = await Promise.all([
    history.rows<Omit<SeenColumn, 'mostOften' | 'protection' | 'query'> & { by: [string, string, number, number][] }>(
      `SELECT resource, column, sum(times) AS commands, sum(seen) AS rows, sum(masked_times) AS masked, commands - masked AS clear, count() AS readers,
         arraySlice(arrayReverseSort(reader -> reader.3, groupArray(100)((principal, kind, times, times - masked_times))), 1, ${readersShown}) AS by,
         max(last) AS lastAt
       FROM (
         SELECT resource, column, principal, any(principal_kind) AS kind, sum(c.times) AS times, sum(row_sum) AS seen,
           sumIf(c.times, masked) AS masked_times, max(last_at) AS last
         FROM ${ofPeriod(COLUMNS, inPeriod, [ofResource])} AS c GROUP BY resource, column, principal ORDER BY times DESC
       )
       GROUP BY resource, column ORDER BY commands DESC, resource, column LIMIT {limit:UInt32}`,
      parameters,
    ),
    history.rows<Omit<SeenClass, 'query'>>(
      `SELECT resource, class, sum(times) AS commands, uniqExact(principal) AS readers, max(last_at) AS lastAt
       FROM ${ofPeriod(CLASSES, inPeriod, [ofResource])} AS c WHERE NOT startsWith(class, 'column:') GROUP BY resource, class ORDER BY commands DESC, resource, class LIMIT {limit:UInt32}`,
      parameters,
    ),
    history.rows<Omit<UnlabelledColumn, 'manifest' | 'query'>>(
      `SELECT resource, column, detector, sum(alone_times) AS certain, sum(times) AS commands, max(last_at) AS lastAt
       FROM ${ofPeriod(FINDINGS, inPeriod, [ofResource])} AS f WHERE with_rows
       GROUP BY resource, column, detector ORDER BY certain DESC, commands DESC, resource, column LIMIT {limit:UInt32}`,
      parameters,
    ),
  ]);
  const policies = control.state.manifests('DataPolicy').map(({ manifest }) => manifest as Manifest<'DataPolicy'>);
  const protection = (name: string, column: string) =>
    protectionOf(policies, { name, labels: control.state.manifest('Resource', name)?.manifest.labels ?? {} }, column);
  const span = `since:${new Date(sinceMs).toISOString()} until:${new Date(untilMs).toISOString()}`;
  return {
    since: new Date(sinceMs).toISOString(),
    until: new Date(untilMs).toISOString(),
    columns: columns.slice(0, listedMax).map(({ by, ...row }) => ({
      ...row,
      protection: protection(row.resource, row.column),
      mostOften: by.map(([principal, kind, commands, clear]) => ({ principal, kind, commands, clear })),
      query: `resource:${quoted(row.resource)} column:${quoted(row.column)} ${span}`,
    })),
    classes: classes
      .slice(0, listedMax)
      .map(row => ({ ...row, query: `resource:${quoted(row.resource)} class:${quoted(row.class)} ${span}` })),
    unlabelled: unlabelled
      .slice(0, listedMax)
      // What has been labelled since is no finding any more.
      .filter(row => protection(row.resource, row.column) === null)
      .map(row => ({
        ...row,
        manifest: protectingManifest(row.resource, row.column, row.detector),
        query: `resource:${quoted(row.resource)} column:${quoted(row.column)} class:${quoted(row.detector)} ${span}`,
      })),
    truncated: [columns, classes, unlabelled].some(rows => rows.length > listedMax),
  };
}

/** A value in the query language. */
function quoted(value: string): string {
  return /^[\w.-]+$/.test(value) ? value : `"${value.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
}
