/**
 * Reads the recorded head of a PostgreSQL answer (backend messages, masked as the client received them, cut off anywhere) into tables
 * for the eye. It decides nothing and takes any bytes: what does not fit ends the reading, and `whole` says so.
 *
 * @see https://www.postgresql.org/docs/current/protocol-message-formats.html
 */

export interface AnswerTable {
  columns: string[];
  /** null is SQL's NULL. A value in a binary form that is not known here is shown in hex, as PostgreSQL writes bytea. */
  rows: (string | null)[][];
  /** `SELECT 3`; empty when the head ends before it. */
  tag: string;
}

export interface AnswerNote {
  severity: string;
  code: string;
  message: string;
}

export interface PostgresAnswer {
  tables: AnswerTable[];
  /** Errors and notices, in their order. */
  notes: AnswerNote[];
  /** Everything in the bytes was understood, and no message is cut off. */
  whole: boolean;
}

interface Column {
  name: string;
  oid: number;
  binary: boolean;
}

const tablesMax = 50;
const rowsMax = 1000;
const valueCharactersMax = 4000;

/**
 * @param head backend messages from the start of the answer.
 * @param names of the columns, where the messages have no RowDescription (an Execute without Describe).
 */
export function postgresAnswer(head: Uint8Array, names: readonly string[] = []): PostgresAnswer {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const answer: PostgresAnswer = { tables: [], notes: [], whole: false };
  let columns: Column[] | null = null;
  let table: AnswerTable | null = null;
  let shownRows = 0;
  let at = 0;
  const open = (count: number): AnswerTable | null => {
    if (table !== null) return table;
    if (answer.tables.length >= tablesMax) return null;
    columns ??= Array.from({ length: count }, (_, index) => ({ name: names[index] ?? `${index + 1}`, oid: 0, binary: false }));
    table = { columns: columns.map(({ name }) => name), rows: [], tag: '' };
    answer.tables.push(table);
    return table;
  };
  while (at + 5 <= head.length) {
    const type = String.fromCharCode(view.getUint8(at));
    const end = at + 1 + view.getInt32(at + 1);
    if (end < at + 5 || end > head.length) return answer;
    const fields = new Fields(view, at + 5, end);
    at = end;
    if (type === 'T') {
      columns = rowDescription(fields);
      if (columns === null) return answer;
      table = null;
      open(columns.length);
    } else if (type === 'D') {
      const count = fields.uint16();
      if (count === null) return answer;
      const into = open(count);
      const row: (string | null)[] = [];
      for (let index = 0; index < count; index++) {
        const length = fields.int32();
        if (length === null) return answer;
        const bytes = length < 0 ? null : fields.bytes(length);
        if (length >= 0 && bytes === null) return answer;
        row.push(bytes === null ? null : valueText(bytes, columns?.[index]));
      }
      if (into !== null && shownRows++ < rowsMax) into.rows.push(row);
    } else if (type === 'C') {
      const tag = fields.cstring() ?? '';
      const done: AnswerTable | null = table;
      if (done === null && answer.tables.length < tablesMax) answer.tables.push({ columns: [], rows: [], tag });
      else if (done !== null) (done as AnswerTable).tag = tag;
      table = null;
      columns = null;
    } else if (type === 'E' || type === 'N') {
      answer.notes.push(note(fields));
    }
  }
  answer.whole = at === head.length;
  return answer;
}

function rowDescription(fields: Fields): Column[] | null {
  const count = fields.uint16();
  if (count === null) return null;
  const columns: Column[] = [];
  for (let index = 0; index < count; index++) {
    const name = fields.cstring();
    if (name === null || fields.bytes(6) === null) return null;
    const oid = fields.int32();
    if (oid === null || fields.bytes(6) === null) return null;
    const format = fields.uint16();
    if (format === null) return null;
    columns.push({ name, oid, binary: format === 1 });
  }
  return columns;
}

function note(fields: Fields): AnswerNote {
  const found: AnswerNote = { severity: '', code: '', message: '' };
  for (;;) {
    const kind = fields.uint8();
    if (kind === null || kind === 0) return found;
    const text = fields.cstring();
    if (text === null) return found;
    const letter = String.fromCharCode(kind);
    if (letter === 'S') found.severity = text;
    else if (letter === 'C') found.code = text;
    else if (letter === 'M') found.message = text;
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function valueText(bytes: Uint8Array, column: Column | undefined): string {
  const text = (column?.binary ? binaryText(bytes, column.oid) : null) ?? utf8(bytes) ?? hex(bytes);
  return text.length > valueCharactersMax ? `${text.slice(0, valueCharactersMax)}…` : text;
}

function utf8(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null; // Not text: the caller shows it otherwise.
  }
}

function hex(bytes: Uint8Array): string {
  let text = '\\x';
  for (const byte of bytes.subarray(0, valueCharactersMax / 2)) text += byte.toString(16).padStart(2, '0');
  return text;
}

const textTypes = new Set([18, 19, 25, 114, 142, 705, 1042, 1043]);

/** The binary forms that drivers ask for most; null for others. */
function binaryText(bytes: Uint8Array, oid: number): string | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { length } = bytes;
  if (oid === 16 && length === 1) return view.getUint8(0) === 0 ? 'f' : 't';
  if (oid === 21 && length === 2) return String(view.getInt16(0));
  if ((oid === 23 || oid === 26) && length === 4) return String(view.getInt32(0));
  if (oid === 20 && length === 8) return String(view.getBigInt64(0));
  if (oid === 700 && length === 4) return String(view.getFloat32(0));
  if (oid === 701 && length === 8) return String(view.getFloat64(0));
  if (oid === 2950 && length === 16)
    return hex(bytes)
      .slice(2)
      .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  // Microseconds, and days, since 2000-01-01.
  if ((oid === 1114 || oid === 1184) && length === 8) return timestamp(Number(view.getBigInt64(0)) / 1000 + 946_684_800_000);
  if (oid === 1082 && length === 4) return timestamp(view.getInt32(0) * 86_400_000 + 946_684_800_000)?.slice(0, 10) ?? null;
  if (oid === 3802 && length > 1 && view.getUint8(0) === 1) return utf8(bytes.subarray(1));
  return textTypes.has(oid) ? utf8(bytes) : hex(bytes);
}

function timestamp(ms: number): string | null {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? null : date.toISOString().replace('T', ' ').replace('Z', '');
}

/** A cursor that gives null instead of reading past the message. */
class Fields {
  readonly #view: DataView;
  readonly #end: number;
  #at: number;

  constructor(view: DataView, at: number, end: number) {
    this.#view = view;
    this.#at = at;
    this.#end = end;
  }

  #take(count: number): number | null {
    if (count > this.#end - this.#at) return null;
    const at = this.#at;
    this.#at += count;
    return at;
  }

  uint8(): number | null {
    const at = this.#take(1);
    return at === null ? null : this.#view.getUint8(at);
  }

  uint16(): number | null {
    const at = this.#take(2);
    return at === null ? null : this.#view.getUint16(at);
  }

  int32(): number | null {
    const at = this.#take(4);
    return at === null ? null : this.#view.getInt32(at);
  }

  bytes(count: number): Uint8Array | null {
    const at = this.#take(count);
    return at === null ? null : new Uint8Array(this.#view.buffer, this.#view.byteOffset + at, count);
  }

  cstring(): string | null {
    for (let end = this.#at; end < this.#end; end++) {
      if (this.#view.getUint8(end) !== 0) continue;
      const bytes = this.bytes(end - this.#at);
      this.#at++;
      return bytes === null ? null : new TextDecoder().decode(bytes);
    }
    return null;
  }
}
