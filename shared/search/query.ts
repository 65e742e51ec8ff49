/**
 * The query language of the lists of sessions and commands:
 *
 *     query  := or
 *     or     := and ( "OR" and )*
 *     and    := unary+
 *     unary  := ( "-" | "NOT" ) unary | "(" or ")" | term
 *     term   := field ":" [ "<" | "<=" | ">" | ">=" ] value ( "," value )*  |  value
 *     value  := word | '"' characters, with \" and \\ '"'
 *
 * A value alone asks for words of the command's text. Several values are alternatives. `since` and `until` bound the whole query, so
 * they stand at its top. Parsing gives a tree or the place of the first mistake with what would be right; it asks no database and makes
 * no SQL.
 */
import { FIELDS, type Field, fieldNamed } from './fields.ts';

export type Comparison = '=' | '<' | '<=' | '>' | '>=';

/** A value as it is compared: a number (rows, bytes, microseconds) or a text. */
export interface Term {
  kind: 'term';
  field: Field;
  comparison: Comparison;
  values: (string | number)[];
}

export type Query = { kind: 'and' | 'or'; parts: Query[] } | { kind: 'not'; part: Query } | Term;

export interface ParsedQuery {
  /** null: everything. */
  query: Query | null;
  /** Milliseconds since 1970. */
  sinceMs?: number;
  untilMs?: number;
}

export interface QueryMistake {
  message: string;
  /** Where, in characters. */
  start: number;
  end: number;
}

export type QueryResult = { ok: true; parsed: ParsedQuery } | { ok: false; mistake: QueryMistake };

export const queryCharactersMax = 2000;
const termsMax = 40;
const depthMax = 12;

class Mistake extends Error {
  readonly start: number;
  readonly end: number;

  constructor(message: string, start: number, end: number) {
    super(message);
    this.start = start;
    this.end = end;
  }
}

interface Token {
  kind: 'word' | 'quoted' | 'open' | 'close' | 'minus' | 'end';
  text: string;
  start: number;
  end: number;
  /** No white space before it. */
  joined: boolean;
}

/** @param nowMs what `since:7d` counts from. */
export function parseQuery(text: string, nowMs: number): QueryResult {
  try {
    if (text.length > queryCharactersMax)
      throw new Mistake(`A query has ${queryCharactersMax} characters at most.`, queryCharactersMax, text.length);
    return { ok: true, parsed: new Parser(text, nowMs).parse() };
  } catch (error) {
    if (!(error instanceof Mistake)) throw error;
    return { ok: false, mistake: { message: error.message, start: error.start, end: error.end } };
  }
}

class Parser {
  readonly #text: string;
  readonly #nowMs: number;
  #at = 0;
  #token: Token;
  #depth = 0;
  #terms = 0;
  #times: { sinceMs?: number; untilMs?: number } = {};

  constructor(text: string, nowMs: number) {
    this.#text = text;
    this.#nowMs = nowMs;
    this.#token = this.#next();
  }

  parse(): ParsedQuery {
    if (this.#token.kind === 'end') return { query: null };
    const query = this.#or();
    if (!this.#isAtEnd()) throw new Mistake('This parenthesis closes nothing.', this.#token.start, this.#token.end);
    return { query, ...this.#times };
  }

  /** null: only bounds of time, which are kept apart. */
  #or(): Query | null {
    const start = this.#token.start;
    const parts = [this.#and()];
    while (this.#isWord('OR')) {
      this.#advance();
      parts.push(this.#and());
    }
    if (parts.length === 1) return parts[0] ?? null;
    if (parts.includes(null) || this.#times.sinceMs !== undefined || this.#times.untilMs !== undefined)
      throw new Mistake('`since` and `until` bound the whole query: put the alternatives into parentheses beside them.', start, this.#at);
    return { kind: 'or', parts: parts.filter(part => part !== null) };
  }

  #and(): Query | null {
    const parts: Query[] = [];
    let some = false;
    while (this.#token.kind !== 'end' && this.#token.kind !== 'close' && !this.#isWord('OR')) {
      if (this.#isWord('AND')) {
        this.#advance();
        continue;
      }
      const part = this.#unary();
      some = true;
      if (part !== null) parts.push(part);
    }
    if (!some) throw new Mistake('Something to look for is missing here.', this.#token.start, this.#token.end);
    return parts.length <= 1 ? (parts[0] ?? null) : { kind: 'and', parts };
  }

  #unary(): Query | null {
    const { kind, start } = this.#token;
    if (kind === 'minus' || this.#isWord('NOT')) {
      this.#advance();
      if (this.#token.kind === 'end' || this.#token.kind === 'close')
        throw new Mistake('What is to be left out is missing.', start, this.#token.end);
      const part = this.#deeper(start, () => this.#unary());
      if (part === null) throw new Mistake('Bounds of time cannot be negated: turn `since` into `until`.', start, this.#at);
      return { kind: 'not', part };
    }
    if (kind === 'open') {
      this.#advance();
      const part = this.#deeper(start, () => this.#or());
      if (this.#token.kind !== 'close') throw new Mistake('This parenthesis is not closed.', start, start + 1);
      this.#advance();
      return part;
    }
    return this.#term();
  }

  #deeper<Result>(start: number, parse: () => Result): Result {
    if (++this.#depth > depthMax) throw new Mistake('Too many parentheses in each other.', start, start + 1);
    const { sinceMs, untilMs } = this.#times;
    const result = parse();
    this.#depth--;
    if (this.#times.sinceMs !== sinceMs || this.#times.untilMs !== untilMs)
      throw new Mistake(
        '`since` and `until` bound the whole query: they stand outside of parentheses and are not negated.',
        start,
        this.#at,
      );
    return result;
  }

  #term(): Query | null {
    const first = this.#token;
    if (++this.#terms > termsMax) throw new Mistake(`A query has ${termsMax} terms at most.`, first.start, first.end);
    const colon = first.kind === 'word' ? first.text.indexOf(':') : -1;
    if (colon < 1) {
      this.#advance();
      const field = fieldNamed('text');
      if (field === undefined) throw new Mistake('There is no such field.', first.start, first.end);
      if (first.text === '') throw new Mistake('An empty text is in every command.', first.start, first.end);
      return { kind: 'term', field, comparison: '=', values: [first.text] };
    }
    const name = first.text.slice(0, colon);
    const field = fieldNamed(name);
    if (field === undefined) {
      const near = nearestField(name);
      throw new Mistake(
        `There is no field ${JSON.stringify(name)}${near === null ? '' : `; do you mean ${near}?`} To look for the text itself, put it into quotes.`,
        first.start,
        first.start + colon,
      );
    }
    let rest = first.text.slice(colon + 1);
    const operator = /^(<=|>=|<|>)/.exec(rest)?.[0] as Comparison | undefined;
    if (operator !== undefined) rest = rest.slice(operator.length);
    const valuesStart = first.start + colon + 1 + (operator?.length ?? 0);
    const texts: string[] = [];
    let end = first.end;
    this.#advance();
    // The pieces of a list may be quoted or not: crm,"a b",c
    for (;;) {
      const pieces = rest.split(',');
      const last = pieces.pop() ?? '';
      for (const piece of pieces) if (piece !== '') texts.push(piece);
      const next = this.#token;
      if (last === '' && next.kind === 'quoted' && next.joined) {
        texts.push(next.text);
        end = next.end;
        this.#advance();
        const after = this.#token;
        if (after.kind !== 'word' || !after.joined || !after.text.startsWith(',')) break;
        rest = after.text.slice(1);
        end = after.end;
        this.#advance();
        continue;
      }
      if (last !== '') texts.push(last);
      break;
    }
    if (texts.length === 0) throw new Mistake(`${field.name}: wants a value, e.g. ${field.example}`, first.start, end);
    if (operator !== undefined && !['amount', 'bytes', 'duration'].includes(field.type))
      throw new Mistake(`${field.name} cannot be compared with ${operator}; e.g. ${field.example}`, first.start, end);
    if (field.type === 'time') {
      this.#bound(field, texts, first.start, end);
      return null;
    }
    const values = texts.map(text => valueFrom(field, text, valuesStart, end));
    return { kind: 'term', field, comparison: operator ?? '=', values };
  }

  #bound(field: Field, texts: string[], start: number, end: number): void {
    const [text = ''] = texts;
    const ms = texts.length === 1 ? timeOf(text, this.#nowMs) : null;
    if (ms === null) throw new Mistake(`${field.name}: wants a time such as 15m, 12h, 7d, 2026-01-31 or 2026-01-31T14:00Z`, start, end);
    const key = field.name === 'since' ? 'sinceMs' : 'untilMs';
    if (this.#times[key] !== undefined) throw new Mistake(`${field.name} stands here twice.`, start, end);
    // A day as a bound includes all of it.
    this.#times[key] = key === 'untilMs' && /^\d{4}-\d\d-\d\d$/.test(text) ? ms + 86_400_000 - 1 : ms;
  }

  #isAtEnd(): boolean {
    return this.#token.kind === 'end';
  }

  #isWord(word: string): boolean {
    return this.#token.kind === 'word' && this.#token.text === word;
  }

  #advance(): void {
    this.#token = this.#next();
  }

  #next(): Token {
    const text = this.#text;
    const before = this.#at;
    while (this.#at < text.length && /\s/.test(text.charAt(this.#at))) this.#at++;
    const start = this.#at;
    const joined = start === before && start > 0;
    const done = (kind: Token['kind'], value: string): Token => ({ kind, text: value, start, end: this.#at, joined });
    if (start >= text.length) return done('end', '');
    const character = text.charAt(start);
    if (character === '(' || character === ')') {
      this.#at++;
      return done(character === '(' ? 'open' : 'close', character);
    }
    if (character === '-' && !/^[\s)]?$/.test(text.charAt(start + 1))) {
      this.#at++;
      return done('minus', '-');
    }
    if (character === '"') {
      let value = '';
      for (this.#at++; this.#at < text.length; this.#at++) {
        const each = text.charAt(this.#at);
        if (each === '"') {
          this.#at++;
          return done('quoted', value);
        }
        if (each === '\\' && /["\\]/.test(text.charAt(this.#at + 1))) this.#at++;
        value += text.charAt(this.#at);
      }
      throw new Mistake('This quotation is not closed.', start, text.length);
    }
    while (this.#at < text.length && !/[\s()"]/.test(text.charAt(this.#at))) this.#at++;
    return done('word', text.slice(start, this.#at));
  }
}

function valueFrom(field: Field, text: string, start: number, end: number): string | number {
  switch (field.type) {
    case 'enum': {
      const value = field.values?.[text.toLowerCase()];
      // What is recorded may be asked for as well: decision:deny.
      if (value !== undefined) return value;
      if (Object.values(field.values ?? {}).includes(text)) return text;
      throw new Mistake(`${field.name} is one of ${Object.keys(field.values ?? {}).join(', ')}, not ${JSON.stringify(text)}.`, start, end);
    }
    case 'amount':
    case 'bytes':
    case 'duration': {
      const amount = amountOf(field.type, text);
      if (amount === null) throw new Mistake(`${field.name}: wants an amount, e.g. ${field.example}`, start, end);
      return amount;
    }
    case 'name':
    case 'text':
    case 'id':
    case 'time':
      return text;
  }
}

const units: Readonly<Record<'amount' | 'bytes' | 'duration', Readonly<Record<string, number>>>> = {
  amount: { '': 1, k: 1e3, m: 1e6 },
  bytes: { '': 1, b: 1, kb: 1e3, mb: 1e6, gb: 1e9, kib: 1024, mib: 1024 ** 2, gib: 1024 ** 3 },
  duration: { '': 1e3, us: 1, µs: 1, ms: 1e3, s: 1e6, m: 60e6, min: 60e6, h: 3600e6 },
};

function amountOf(type: 'amount' | 'bytes' | 'duration', text: string): number | null {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)([a-zµ]*)$/.exec(text.toLowerCase());
  const unit = match?.[2] ?? '';
  const factor = Object.hasOwn(units[type], unit) ? units[type][unit] : undefined;
  if (match === null || factor === undefined) return null;
  return Math.min(Math.round(Number(match[1]) * factor), Number.MAX_SAFE_INTEGER);
}

const spans: Readonly<Record<string, number>> = { s: 1e3, m: 60e3, h: 3600e3, d: 86_400e3, w: 7 * 86_400e3 };

function timeOf(text: string, nowMs: number): number | null {
  const span = /^(\d{1,6})([smhdw])$/.exec(text);
  if (span !== null) return nowMs - Number(span[1]) * (spans[span[2] ?? ''] ?? 0);
  if (text === 'today') return new Date(nowMs).setUTCHours(0, 0, 0, 0);
  if (!/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?$/.test(text)) return null;
  // Without a zone a time is UTC, as everything that is recorded.
  const ms = Date.parse(/[Z]|[+-]\d\d:\d\d$/.test(text) || !text.includes('T') ? text : `${text}Z`);
  return Number.isNaN(ms) ? null : ms;
}

function nearestField(name: string): string | null {
  const lower = name.toLowerCase();
  const starts = FIELDS.find(field => field.name.startsWith(lower) || lower.startsWith(field.name));
  if (starts !== undefined) return starts.name;
  const letters = new Set(lower);
  const scored = FIELDS.map(field => ({
    name: field.name,
    score: [...new Set(field.name)].filter(letter => letters.has(letter)).length - Math.abs(field.name.length - lower.length),
  })).sort((a, b) => b.score - a.score);
  const [best] = scored;
  return best !== undefined && best.score >= Math.min(3, lower.length - 1) ? best.name : null;
}
