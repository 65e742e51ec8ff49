/**
 * COPY … TO STDOUT: what its columns are, and the rewriting of its rows in text, CSV and binary form.
 *
 * CopyOutResponse does not say where columns come from. So the statement's source is described first, as the query that it stands
 * for (`CopyTarget.probe`), and its columns get the plan that the query's would get. PostgreSQL sends one row in one
 * CopyData; what does not look like that is not let through.
 *
 * @see https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9 (file formats)
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { parseText } from '@sallyport/shared/sql/analyse.ts';
import { readInt32, readUint16, writeInt32 } from '@sallyport/shared/wire/bytes.ts';
import type { CommandRun } from './command-run.ts';
import { maskValue, scanValue } from './mask-value.ts';
import { Action, type RowPlan } from './row-plan.ts';
import type { Output } from './rows.ts';

export type CopyFormat = 'text' | 'csv' | 'binary';

export interface CopyTarget {
  /** A query with the same columns. */
  probe: string;
  format: CopyFormat;
  delimiter: number;
  nullText: Buffer;
  quote: number;
  escaped: number;
  header: boolean;
}

export interface CopyPlan extends CopyTarget {
  rows: RowPlan;
}

/** Client encodings in which the second byte of a character may be that of a letter or separator. */
export const EMBEDS_ASCII: ReadonlySet<string> = new Set(['SJIS', 'SHIFT_JIS_2004', 'BIG5', 'GBK', 'GB18030', 'UHC', 'JOHAB']);

export type CopyTargetOutcome = { ok: true; target: CopyTarget } | { ok: false; reason: string };

type Tree = Record<string, unknown>;

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function quoted(identifier: unknown): string {
  return `"${String(identifier).replaceAll('"', '""')}"`;
}

/** Reads a COPY statement's source and format. @param text of one statement, already known to parse. */
export function copyTarget(text: Buffer): CopyTargetOutcome {
  const parsed = parseText(text);
  if (!parsed.ok || parsed.statements.length !== 1) return { ok: false, reason: 'the COPY statement cannot be read' };
  const node = parsed.statements[0]?.node as unknown as Tree | undefined;
  const copy = isTree(node) && isTree(node.CopyStmt) ? node.CopyStmt : null;
  if (copy === null) return { ok: false, reason: 'COPY inside of another statement cannot be checked' };
  const options = optionsOf(copy);
  if (typeof options === 'string') return { ok: false, reason: options };
  let probe: string;
  if (isTree(copy.relation)) {
    const { schemaname, relname } = copy.relation;
    const columns = Array.isArray(copy.attlist)
      ? copy.attlist.map(each => quoted((each as Tree).String === undefined ? '' : ((each as { String: Tree }).String.sval ?? '')))
      : ['*'];
    const from = schemaname === undefined || schemaname === '' ? quoted(relname) : `${quoted(schemaname)}.${quoted(relname)}`;
    probe = `SELECT ${columns.join(', ')} FROM ONLY ${from}`;
  } else {
    const query = queryIn(text.toString('utf8'), copy.query);
    if (query === null) return { ok: false, reason: 'the query of COPY cannot be told from its text' };
    probe = query;
  }
  return { ok: true, target: { probe, ...options } };
}

/** The text between the parentheses that parses to exactly the tree that COPY has. */
function queryIn(text: string, tree: unknown): string | null {
  const wanted = comparable(tree);
  let attempts = 0;
  for (let open = text.indexOf('('); open >= 0; open = text.indexOf('(', open + 1)) {
    for (let close = text.lastIndexOf(')'); close > open; close = text.lastIndexOf(')', close - 1)) {
      if (++attempts > 256) return null;
      const inner = text.slice(open + 1, close);
      const parsed = parseText(Buffer.from(inner));
      if (parsed.ok && parsed.statements.length === 1 && comparable(parsed.statements[0]?.node) === wanted) return inner;
    }
  }
  return null;
}

function comparable(tree: unknown): string {
  return JSON.stringify(tree, (key, value: unknown) =>
    key === 'location' || key === 'stmt_location' || key === 'stmt_len' || key === 'name_location' ? undefined : value,
  );
}

function optionsOf(copy: Tree): Omit<CopyTarget, 'probe'> | string {
  let format: CopyFormat = 'text';
  let delimiter: string | undefined;
  let nullText: string | undefined;
  let quote: string | undefined;
  let escaped: string | undefined;
  let header = false;
  for (const option of Array.isArray(copy.options) ? copy.options : []) {
    const element = isTree(option) && isTree(option.DefElem) ? option.DefElem : null;
    if (element === null) return 'an option of COPY cannot be read';
    const argument = constant(element.arg);
    switch (String(element.defname)) {
      case 'format':
        if (argument !== 'text' && argument !== 'csv' && argument !== 'binary') return 'the format of COPY is not known';
        format = argument;
        break;
      case 'delimiter':
        delimiter = argument;
        break;
      case 'null':
        nullText = argument;
        break;
      case 'quote':
        quote = argument;
        break;
      case 'escape':
        escaped = argument;
        break;
      case 'header':
        header = argument === undefined || !['false', 'off', '0'].includes(argument.toLowerCase());
        break;
      case 'force_quote':
        break;
      case 'encoding':
        return 'COPY with ENCODING cannot be checked; leave it out';
      default:
        return `the option ${String(element.defname)} of COPY is not known`;
    }
  }
  const byte = (text: string | undefined, fallback: number) =>
    text === undefined ? fallback : text.length === 1 ? text.charCodeAt(0) : -1;
  const quoteByte = byte(quote, 0x22);
  const target = {
    format,
    delimiter: byte(delimiter, format === 'csv' ? 0x2c : 0x09),
    nullText: Buffer.from(nullText ?? (format === 'csv' ? '' : '\\N')),
    quote: quoteByte,
    escaped: byte(escaped, quoteByte),
    header,
  };
  return target.delimiter < 0 || target.quote < 0 || target.escaped < 0 ? 'a separator of COPY is longer than one character' : target;
}

function constant(node: unknown): string | undefined {
  if (!isTree(node)) return undefined;
  if (isTree(node.String)) return typeof node.String.sval === 'string' ? node.String.sval : '';
  if (isTree(node.Integer)) return typeof node.Integer.ival === 'number' ? String(node.Integer.ival) : '0';
  if (isTree(node.Boolean)) return node.Boolean.boolval === true ? 'true' : 'false';
  return undefined;
}

function malformed(): GatewayError {
  return new GatewayError('PG_COPY_SHAPE', 'protocol', 'rows of COPY do not have the shape that was announced');
}

const SIGNATURE = Buffer.from('PGCOPY\n\u00ff\r\n\0', 'latin1');

/** Rows of one COPY TO STDOUT, one frame at a time. */
export class CopyRows {
  readonly #plan: CopyPlan;
  #headerSeen = false;

  constructor(plan: CopyPlan) {
    this.#plan = plan;
  }

  /**
   * Handles one CopyData frame, `buffer[start, end)` with type and length.
   * @returns false when it may pass as it is; true when its replacement was appended.
   */
  rewrite(buffer: Buffer, start: number, end: number, run: CommandRun, output: Output): boolean {
    const { format, header } = this.#plan;
    if (format === 'binary') return this.#binary(buffer, start, end, run, output);
    if (buffer[end - 1] !== 0x0a) throw malformed();
    if (header && !this.#headerSeen) {
      this.#headerSeen = true;
      return false;
    }
    run.rows++;
    const outStart = output.length;
    const body = start + 5;
    const changed =
      format === 'csv' ? this.#csv(buffer, body, end - 1, run, output, start) : this.#text(buffer, body, end - 1, run, output, start);
    if (!changed) return false;
    output.bytes(NEWLINE);
    writeInt32(output.buffer, outStart + 1, output.length - outStart - 1);
    return true;
  }

  /** @returns undefined when the value may stay. */
  #value(column: number, bytes: Buffer, start: number, end: number, run: CommandRun): Uint8Array | null | undefined {
    const { rows } = this.#plan;
    const action = rows.actions[column];
    if (action === Action.Pass) return undefined;
    if (action === Action.Mask) {
      const mask = rows.masks[column];
      if (mask === undefined || mask === null) throw malformed();
      run.maskedValues++;
      run.classify(rows.dataClasses[column] as string);
      return maskValue(mask, bytes, start, end);
    }
    const scan = rows.scans[column];
    if (scan === undefined || scan === null) throw malformed();
    const finding = scanValue(scan, bytes, start, end);
    if (finding === null) return undefined;
    run.maskedValues += finding.count;
    for (const name of finding.detectors) run.classify(name);
    return finding.value;
  }

  #text(buffer: Buffer, start: number, end: number, run: CommandRun, output: Output, frameStart: number): boolean {
    const { delimiter, nullText, rows } = this.#plan;
    const count = rows.actions.length;
    let copied = frameStart;
    let changed = false;
    let column = 0;
    let from = start;
    for (let at = start; at <= end; at++) {
      const byte = at === end ? delimiter : (buffer[at] as number);
      if (byte === 0x5c && at < end) {
        at++;
        continue;
      }
      if (byte !== delimiter) continue;
      if (column >= count) throw malformed();
      if (!(at - from === nullText.length && nullText.equals(buffer.subarray(from, at)))) {
        const backslash = buffer.indexOf(0x5c, from);
        const escaped = backslash >= 0 && backslash < at;
        const value = escaped ? unescapeText(buffer, from, at) : buffer;
        const replaced = escaped ? this.#value(column, value, 0, value.length, run) : this.#value(column, buffer, from, at, run);
        if (replaced !== undefined) {
          output.copy(buffer, copied, from);
          output.bytes(replaced === null ? nullText : escapeText(Buffer.from(replaced), delimiter));
          copied = at;
          changed = true;
        }
      }
      column++;
      from = at + 1;
    }
    // A row of no columns is an empty line.
    if (column !== count && !(count === 0 && column === 1)) throw malformed();
    if (changed) output.copy(buffer, copied, end);
    return changed;
  }

  #csv(buffer: Buffer, start: number, end: number, run: CommandRun, output: Output, frameStart: number): boolean {
    const { delimiter, quote, escaped, nullText, rows } = this.#plan;
    const count = rows.actions.length;
    let copied = frameStart;
    let changed = false;
    let column = 0;
    let at = start;
    for (;;) {
      if (column >= count) throw malformed();
      const from = at;
      let value: Buffer = buffer;
      let valueStart = from;
      let valueEnd: number;
      const isQuoted = buffer[at] === quote && at < end;
      if (isQuoted) {
        const bytes: number[] = [];
        at++;
        for (;;) {
          if (at >= end) throw malformed();
          const byte = buffer[at] as number;
          const next = at + 1 < end ? (buffer[at + 1] as number) : -1;
          if (byte === escaped && (next === quote || next === escaped)) {
            bytes.push(next);
            at += 2;
          } else if (byte === quote) {
            at++;
            break;
          } else {
            bytes.push(byte);
            at++;
          }
        }
        value = Buffer.from(bytes);
        valueStart = 0;
        valueEnd = value.length;
      } else {
        while (at < end && buffer[at] !== delimiter) at++;
        valueEnd = at;
      }
      if (at < end && buffer[at] !== delimiter) throw malformed();
      const isNull = !isQuoted && at - from === nullText.length && nullText.equals(buffer.subarray(from, at));
      if (!isNull) {
        const replaced = this.#value(column, value, valueStart, valueEnd, run);
        if (replaced !== undefined) {
          output.copy(buffer, copied, from);
          output.bytes(replaced === null ? nullText : quoteCsv(Buffer.from(replaced), quote, escaped));
          copied = at;
          changed = true;
        }
      }
      column++;
      if (at >= end) break;
      at++;
    }
    if (column !== count && !(count === 0 && column === 1)) throw malformed();
    if (changed) output.copy(buffer, copied, end);
    return changed;
  }

  #binary(buffer: Buffer, start: number, end: number, run: CommandRun, output: Output): boolean {
    const count = this.#plan.rows.actions.length;
    const outStart = output.length;
    let at = start + 5;
    if (!this.#headerSeen) {
      if (end - at < 19 || !SIGNATURE.equals(buffer.subarray(at, at + 11))) throw malformed();
      const extension = readInt32(buffer, at + 15);
      // Flags: critical ones are not known, and an extension could say anything.
      if (readInt32(buffer, at + 11) !== 0 || extension !== 0) throw malformed();
      at += 19;
      this.#headerSeen = true;
    }
    let copied = start;
    let changed = false;
    while (at < end) {
      if (end - at < 2) throw malformed();
      const columns = readUint16(buffer, at);
      at += 2;
      if (columns === 0xffff) {
        if (at !== end) throw malformed();
        break;
      }
      if (columns !== count) throw malformed();
      run.rows++;
      for (let column = 0; column < count; column++) {
        if (at + 4 > end) throw malformed();
        const length = readInt32(buffer, at);
        const from = at + 4;
        if (length === -1) {
          at = from;
          continue;
        }
        const to = from + length;
        if (length < 0 || to > end) throw malformed();
        const replaced = this.#value(column, buffer, from, to, run);
        if (replaced !== undefined) {
          output.copy(buffer, copied, at);
          if (replaced === null) output.int32(-1);
          else {
            output.int32(replaced.length);
            output.bytes(replaced);
          }
          copied = to;
          changed = true;
        }
        at = to;
      }
    }
    if (!changed) return false;
    output.copy(buffer, copied, end);
    writeInt32(output.buffer, outStart + 1, output.length - outStart - 1);
    return true;
  }
}

const NEWLINE = Buffer.from('\n');
const ESCAPES: Readonly<Record<number, number>> = { 98: 8, 102: 12, 110: 10, 114: 13, 116: 9, 118: 11 };

function unescapeText(buffer: Buffer, start: number, end: number): Buffer {
  const out = Buffer.allocUnsafe(end - start);
  let length = 0;
  for (let at = start; at < end; at++) {
    let byte = buffer[at] as number;
    if (byte === 0x5c && at + 1 < end) {
      byte = buffer[++at] as number;
      byte = ESCAPES[byte] ?? byte;
    }
    out[length++] = byte;
  }
  return out.subarray(0, length);
}

function escapeText(value: Buffer, delimiter: number): Buffer {
  const bytes: number[] = [];
  for (const byte of value) {
    if (byte === 10) bytes.push(0x5c, 0x6e);
    else if (byte === 13) bytes.push(0x5c, 0x72);
    else if (byte === 9) bytes.push(0x5c, 0x74);
    else if (byte === 0x5c || byte === delimiter) bytes.push(0x5c, byte);
    else bytes.push(byte);
  }
  return Buffer.from(bytes);
}

function quoteCsv(value: Buffer, quote: number, escaped: number): Buffer {
  const bytes: number[] = [quote];
  for (const byte of value) {
    if (byte === quote || byte === escaped) bytes.push(escaped);
    bytes.push(byte);
  }
  bytes.push(quote);
  return Buffer.from(bytes);
}
