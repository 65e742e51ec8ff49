/**
 * Shell text to syntax tree, strictly. The grammar is `unbash`'s (ADR 9), a tolerant parser: whatever it has to recover from is
 * an error here, in nested scripts too. Bounded in input size, depth and time; nothing is ever executed.
 *
 * Texts with control characters are refused before they are parsed: what a person sees of them is not what a shell reads.
 */
import { forEachChild, type ParsedScript, parse, type SyntaxNode, type Word, type WordPart } from 'unbash';

export type { ParsedScript, SyntaxNode, Word, WordPart } from 'unbash';
export { forEachChild } from 'unbash';

export const TEXT_LENGTH_MAX = 65_536; // UTF-16 code units
const NODES_MAX = 50_000;
const DEPTH_MAX = 200;
/** How deeply brackets may be opened before the parser is asked: it recurses. */
const OPENINGS_MAX = 2000;

export type Parsed = { script: ParsedScript; error: null } | { script: ParsedScript | null; error: string; incomplete: boolean };

/** @returns the tree; with an error and a partial tree, or none, when the text is not wholly understood. */
export function parseShell(text: string): Parsed {
  const refused = refusal(text);
  if (refused !== null) return { script: null, error: refused, incomplete: false };
  let script: ParsedScript;
  try {
    script = parse(text);
    const walk = new Walk(text.length);
    walk.visit(script, 0);
    if (walk.error !== null) return { script, error: walk.error, incomplete: walk.incomplete };
    if (endsInBackslash(text)) return { script, error: 'it ends in a backslash, so that more would follow', incomplete: true };
    if (walk.openHereDocument) return { script, error: 'a here-document is not closed', incomplete: true };
    return { script, error: null };
  } catch (error) {
    if (error instanceof RangeError) return { script: null, error: 'it is nested too deep', incomplete: false };
    throw error;
  }
}

function refusal(text: string): string | null {
  if (text.length > TEXT_LENGTH_MAX) return `it has ${text.length} characters; at most ${TEXT_LENGTH_MAX} are read`;
  let openings = 0;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if ((code < 0x20 && code !== 0x09 && code !== 0x0a) || code === 0x7f || (code >= 0x80 && code < 0xa0)) {
      return `it holds the control character U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
    }
    if (isDeceptive(code)) return `it holds U+${code.toString(16).toUpperCase()}, which hides or reorders text`;
    if (code === 0x28 || code === 0x7b || code === 0x60 || code === 0x5b) openings += 1;
  }
  return openings > OPENINGS_MAX ? 'it has too many brackets' : null;
}

/** Characters that show nothing, or turn the order of others around; also halves of pairs and private use. */
function isDeceptive(code: number): boolean {
  return (
    code === 0xad ||
    (code >= 0x200b && code <= 0x200f) ||
    (code >= 0x2028 && code <= 0x202e) ||
    (code >= 0x2060 && code <= 0x206f) ||
    code === 0xfeff ||
    code === 0x061c ||
    code === 0x180e ||
    (code >= 0xe000 && code <= 0xf8ff) ||
    (code >= 0xfff9 && code <= 0xfffd)
  );
}

function endsInBackslash(text: string): boolean {
  let count = 0;
  for (let i = text.length - 1; i >= 0 && text[i] === '\\'; i -= 1) count += 1;
  return count % 2 === 1;
}

class Walk {
  error: string | null = null;
  incomplete = false;
  openHereDocument = false;
  private nodes = 0;
  private readonly length: number;

  constructor(length: number) {
    this.length = length;
  }

  visit(node: SyntaxNode, depth: number): void {
    this.nodes += 1;
    if (this.nodes > NODES_MAX || depth > DEPTH_MAX) {
      this.fail(depth > DEPTH_MAX ? 'it is nested too deep' : 'it has too many parts', false);
      return;
    }
    if (node.type === 'Script' && node.errors !== undefined) {
      const [first] = node.errors;
      if (first !== undefined) {
        // Missing at the end is what a shell would ask more lines for; wrong in the middle is wrong.
        const missing = node.errors.every(each => each.message.startsWith('unterminated') || each.pos >= this.length - 1);
        this.fail(`it does not parse: ${first.message}`, missing && !first.message.startsWith('unexpected'));
      }
    }
    if (
      (node.type === 'CommandExpansion' || node.type === 'ProcessSubstitution' || node.type === 'ArithmeticCommandExpansion') &&
      node.script === undefined
    )
      this.fail('a substitution does not parse', false);
    if (node.type === 'ArithmeticExpansion' && node.expression === undefined && node.text.replaceAll(/[$()[\]\s]/g, '') !== '')
      this.fail('an arithmetic expression does not parse', false);
    if (node.type === 'HereDoc' && node.closing === undefined) this.openHereDocument = true;
    if (node.type === 'Redirect' && node.target === undefined) this.fail('a redirection has no target', false);
    forEachChild(node, child => this.visit(child, depth + 1));
  }

  private fail(error: string, incomplete: boolean): void {
    if (this.error === null) {
      this.error = error;
      this.incomplete = incomplete;
    } else this.incomplete &&= incomplete;
  }
}

/**
 * The parts of a word, which must be all of it: a parser that lost a piece of the text would let that piece through.
 *
 * @returns null when they are not.
 */
export function partsOf(word: Word): readonly WordPart[] | null {
  const parts = word.parts;
  if (parts === undefined) {
    return word.text === '' ? [] : [{ type: 'Literal', pos: word.pos, end: word.end, value: word.value, text: word.text }];
  }
  return parts.map(part => part.text).join('') === word.text ? parts : null;
}
