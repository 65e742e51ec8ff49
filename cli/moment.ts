/** Times as people type them. */
import { UsageError } from './usage-error.ts';

const spans: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/**
 * @param text how long ago (`90m`, `7d`), a date (`2026-11-01`: its beginning), or a time of RFC 3339; without a zone it is UTC.
 * @returns the moment as RFC 3339 in UTC.
 * @throws {UsageError}
 */
export function moment(text: string, nowMs = Date.now()): string {
  const ago = /^(\d{1,6})([smhdw])$/.exec(text);
  if (ago !== null) return new Date(nowMs - Number(ago[1]) * (spans[ago[2] ?? ''] ?? 0)).toISOString();
  const time = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)(Z|[+-]\d{2}:\d{2})?)?$/.exec(text);
  const atMs = time === null ? Number.NaN : Date.parse(`${time[1]}T${time[2] ?? '00:00'}${time[3] ?? 'Z'}`);
  if (Number.isNaN(atMs)) {
    throw new UsageError(`a time is written like 2026-11-01, 2026-11-01T08:00Z or, as long ago, 90m, 12h, 7d; not \`${text}\``);
  }
  return new Date(atMs).toISOString();
}
