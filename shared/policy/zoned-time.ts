/**
 * Calendar fields of an instant in a time zone, for CEL's timestamp functions. Pure but for a bounded cache of zone rules.
 *
 * It does not parse or print timestamps. Names are the IANA ones that the runtime's ICU data holds, `UTC`, and fixed offsets
 * (`+02:00`).
 *
 * @see https://github.com/google/cel-spec/blob/master/doc/langdef.md#timezones
 */

/** Zone rules change at whole quarter hours, so an offset found once holds for the rest of its quarter. */
const QUARTER_MS = 900_000;
const ZONES_MAX = 64;

interface Zone {
  format: Intl.DateTimeFormat | null; // null: a fixed offset
  quarter: number;
  offsetMs: number;
}

const zones = new Map<string, Zone>();

export type CalendarField =
  | 'getFullYear'
  | 'getMonth'
  | 'getDate'
  | 'getDayOfMonth'
  | 'getDayOfWeek'
  | 'getDayOfYear'
  | 'getHours'
  | 'getMinutes'
  | 'getSeconds'
  | 'getMilliseconds';

export const CALENDAR_FIELDS: readonly CalendarField[] = [
  'getFullYear',
  'getMonth',
  'getDate',
  'getDayOfMonth',
  'getDayOfWeek',
  'getDayOfYear',
  'getHours',
  'getMinutes',
  'getSeconds',
  'getMilliseconds',
];

/** Whether a time zone's name is known here. */
export function isTimeZone(name: string): boolean {
  return zoneOf(name) !== null;
}

/**
 * One calendar field of an instant, counted as CEL counts it (months, days of month and days of year from 0, `getDate` from 1).
 *
 * @throws {RangeError} for an unknown zone.
 */
export function calendarField(field: CalendarField, at: Date, zone: string): number {
  const local = new Date(at.getTime() + offsetMs(at, zone));
  switch (field) {
    case 'getFullYear':
      return local.getUTCFullYear();
    case 'getMonth':
      return local.getUTCMonth();
    case 'getDate':
      return local.getUTCDate();
    case 'getDayOfMonth':
      return local.getUTCDate() - 1;
    case 'getDayOfWeek':
      return local.getUTCDay();
    case 'getDayOfYear':
      return Math.floor((local.getTime() - Date.UTC(local.getUTCFullYear(), 0, 1)) / 86_400_000);
    case 'getHours':
      return local.getUTCHours();
    case 'getMinutes':
      return local.getUTCMinutes();
    case 'getSeconds':
      return local.getUTCSeconds();
    case 'getMilliseconds':
      return local.getUTCMilliseconds();
  }
}

function offsetMs(at: Date, name: string): number {
  const zone = zoneOf(name);
  if (zone === null) throw new RangeError('unknown time zone');
  if (zone.format === null) return zone.offsetMs;
  const quarter = Math.floor(at.getTime() / QUARTER_MS);
  if (zone.quarter !== quarter) {
    const part = zone.format.formatToParts(quarter * QUARTER_MS).find(each => each.type === 'timeZoneName');
    zone.offsetMs = parseOffset(part?.value.replace(/^GMT/, '') ?? '') ?? Number.NaN;
    if (Number.isNaN(zone.offsetMs)) throw new RangeError('the time zone has no offset');
    zone.quarter = quarter;
  }
  return zone.offsetMs;
}

function zoneOf(name: string): Zone | null {
  const known = zones.get(name);
  if (known !== undefined) return known;
  const zone = makeZone(name);
  if (zone === null) return null;
  if (zones.size >= ZONES_MAX) zones.clear();
  zones.set(name, zone);
  return zone;
}

function makeZone(name: string): Zone | null {
  const fixed = name === 'UTC' || name === '' ? (name === '' ? undefined : 0) : parseOffset(name);
  if (fixed !== undefined) return { format: null, quarter: Number.NaN, offsetMs: fixed };
  try {
    const format = new Intl.DateTimeFormat('en-US', { timeZone: name, timeZoneName: 'longOffset' });
    return { format, quarter: Number.NaN, offsetMs: Number.NaN };
  } catch (error) {
    if (error instanceof RangeError) return null; // how Intl says that it knows no such zone
    throw error;
  }
}

/** `+02:00` and `-03:30:15`, and the empty text by which ICU means UTC; undefined for anything else. */
function parseOffset(text: string): number | undefined {
  if (text === '') return 0;
  const match = /^([+-])(\d{2}):(\d{2})(?::(\d{2}))?$/.exec(text);
  if (match === null) return undefined;
  const [, sign, hours, minutes, seconds] = match;
  const ms = (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds ?? 0)) * 1000;
  return ms >= 86_400_000 ? undefined : sign === '-' ? -ms : ms;
}
