/**
 * The filters that directories ask with: comparisons with `eq`, joined by `and`. `members[value eq "x"]` and `members.value eq "x"` are the
 * same. Whatever else SCIM has (or, not, other operators, groups in brackets) is refused: an answer to another question would have a
 * directory make people anew, or take the wrong ones out.
 *
 * @see RFC 7644 section 3.4.2.2
 */
import { GatewayError } from '@sallyport/shared/errors.ts';

export interface Comparison {
  /** In lower case, without the schema's URN: `username`, `members.value`. */
  attribute: string;
  value: string;
}

const lengthMax = 2048;
const comparisonsMax = 8;

/** @throws {GatewayError} FILTER_INVALID. */
export function parseFilter(text: unknown): Comparison[] {
  if (typeof text !== 'string') throw invalid('it is given twice');
  const reader = new Reader(text);
  const found: Comparison[] = [];
  for (;;) {
    found.push(comparison(reader));
    if (reader.isAtEnd) return found;
    reader.word('and');
    if (found.length >= comparisonsMax) throw invalid('it is too long');
  }
}

/** A path of a PATCH operation: an attribute, or the members that a filter chooses. @throws {GatewayError} FILTER_INVALID. */
export function parsePath(text: string): { attribute: string; chosen: string | null } {
  const reader = new Reader(text);
  const attribute = reader.attribute();
  const chosen = reader.takes('[') ? bracketed(reader) : null;
  if (!reader.isAtEnd) throw invalid('there is more behind the path');
  return { attribute, chosen };
}

function comparison(reader: Reader): Comparison {
  const attribute = reader.attribute();
  if (reader.takes('[')) return { attribute: `${attribute}.value`, value: bracketed(reader) };
  reader.word('eq');
  return { attribute, value: reader.string() };
}

function bracketed(reader: Reader): string {
  if (reader.attribute() !== 'value') throw invalid('in brackets stands `value eq "…"`');
  reader.word('eq');
  const value = reader.string();
  if (!reader.takes(']')) throw invalid('a bracket is not closed');
  return value;
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    if (text.length > lengthMax) throw invalid('it is too long');
    this.#text = text;
    this.#skipSpace();
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  /** `userName`, `members.value`, `urn:ietf:params:scim:schemas:core:2.0:Group:displayName`. */
  attribute(): string {
    const word = this.#run(character => /[A-Za-z0-9:._$-]/.test(character));
    const colon = word.lastIndexOf(':');
    const name = word.toLowerCase().startsWith('urn:') ? word.slice(colon + 1) : word;
    if (name === '' || name.includes(':')) throw invalid('an attribute’s name is wanted');
    return name.toLowerCase();
  }

  word(wanted: string): void {
    if (this.#run(character => /[A-Za-z]/.test(character)).toLowerCase() !== wanted) throw invalid(`\`${wanted}\` is wanted`);
  }

  takes(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    this.#skipSpace();
    return true;
  }

  /** As in JSON. */
  string(): string {
    const start = this.#at;
    if (this.#text[start] !== '"') throw invalid('a text in quotes is wanted');
    let end = start + 1;
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === '\\' ? 2 : 1;
    let value: unknown;
    try {
      value = JSON.parse(this.#text.slice(start, end + 1));
    } catch {
      throw invalid('a text is not written as in JSON');
    }
    if (typeof value !== 'string') throw invalid('a text in quotes is wanted');
    this.#at = end + 1;
    this.#skipSpace();
    return value;
  }

  #run(fits: (character: string) => boolean): string {
    const start = this.#at;
    while (this.#at < this.#text.length && fits(this.#text[this.#at] ?? '')) this.#at++;
    const found = this.#text.slice(start, this.#at);
    this.#skipSpace();
    return found;
  }

  #skipSpace(): void {
    while (this.#text[this.#at] === ' ') this.#at++;
  }
}

function invalid(why: string): GatewayError {
  return new GatewayError(
    'FILTER_INVALID',
    'invalid',
    `The filter is not one that is known here: ${why}. It is ATTRIBUTE eq "TEXT", joined by and.`,
  );
}
