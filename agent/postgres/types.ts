/**
 * Built-in types by OID (pg_type.dat), as far as masking and detection must tell them apart. OIDs below 16384 are fixed for ever.
 */

/** Text, and what is text on the wire in both formats. */
const TEXT = new Set([18, 19, 25, 705, 1042, 1043, 2275, 194, 32, 1790, 3642]);
const JSON_TEXT = 114;
const JSONB = 3802;
const XML = 142;
const BYTEA = 17;
const UUID = 2950;
const DATE = 1082;
/** Arrays of text, name, varchar, bpchar, json, jsonb, xml, bytea, "char". */
const TEXT_ARRAYS = new Set([1009, 1003, 1015, 1014, 199, 3807, 143, 1001, 1002]);

/**
 * Types whose values cannot hold text of anybody's making: numbers, times, identifiers, geometry, bits. Everything that is not
 * listed is scanned, also types that are not known.
 */
const NEVER_TEXT = new Set([
  16, 20, 21, 23, 24, 26, 27, 28, 29, 600, 601, 602, 603, 604, 628, 700, 701, 718, 790, 829, 774, 1082, 1083, 1114, 1184, 1186, 1266, 1560,
  1562, 1700, 2202, 2203, 2204, 2205, 2206, 2950, 2970, 3220, 3734, 3769, 4089, 4096, 5038, 5069, 2278, 22, 30, 3904, 3906, 3908, 3910,
  3912, 3926, 1000, 1005, 1006, 1007, 1016, 1021, 1022, 1028, 1115, 1182, 1183, 1185, 1187, 1231, 1270, 2951, 1010, 1011, 1012,
]);

export type ValueShape = 'text' | 'json' | 'jsonb' | 'xml' | 'bytea' | 'textArray' | 'uuid' | 'date' | 'never' | 'unknown';

export function shapeOf(typeOid: number): ValueShape {
  if (TEXT.has(typeOid)) return 'text';
  if (typeOid === JSON_TEXT) return 'json';
  if (typeOid === JSONB) return 'jsonb';
  if (typeOid === XML) return 'xml';
  if (typeOid === BYTEA) return 'bytea';
  if (typeOid === UUID) return 'uuid';
  if (typeOid === DATE) return 'date';
  if (TEXT_ARRAYS.has(typeOid)) return 'textArray';
  if (NEVER_TEXT.has(typeOid)) return 'never';
  return 'unknown';
}
