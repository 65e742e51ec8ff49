/**
 * Splits SQL into tokens for the eye: colours, and line breaks before clauses. It follows the lexical structure of PostgreSQL
 * (comments nest, dollar quotes have tags, strings may have escapes), takes any text without complaint, and gives back every
 * character of it: the tokens' texts joined are the input.
 *
 * Nothing is decided by it. What a statement does is found by PostgreSQL's own parser (parser.ts).
 *
 * @see https://www.postgresql.org/docs/current/sql-syntax-lexical.html
 */

export type SqlTokenKind =
  | 'keyword'
  | 'function'
  | 'name'
  | 'quoted'
  | 'string'
  | 'number'
  | 'comment'
  | 'parameter'
  | 'punctuation'
  | 'space';

export interface SqlToken {
  kind: SqlTokenKind;
  text: string;
}

/** The words that people read as SQL's own. Those that are mostly names of columns are left out. */
const keywords = new Set(
  `add all alter analyze and any as asc begin between by call cascade case cast check cluster collate column commit concurrently constraint copy create
  cross current_date current_time current_timestamp current_user cursor database declare default deferrable delete desc distinct do drop else end
  escape except execute exists explain extension false fetch filter first following for force foreign from full function grant group grouping
  having if ilike in index inner insert intersect into is isolation join key lateral left like limit listen local lock materialized merge natural
  next not nothing notify nowait null nulls of offset on only or order outer over partition preceding prepare primary procedure recursive
  references refresh reindex release rename reset restrict returning revoke right role rollback row rows savepoint schema select sequence
  session set share show similar skip some start table tablespace temp temporary then ties to transaction trigger true truncate type union
  unique unlogged update user using vacuum values verbose view when where window with within without`
    .trim()
    .split(/\s+/),
);

/** @param text any text; at most some hundred kilobytes are sensible. Time is linear. */
export function sqlTokens(text: string): SqlToken[] {
  const tokens: SqlToken[] = [];
  let at = 0;
  const push = (kind: SqlTokenKind, end: number) => {
    tokens.push({ kind, text: text.slice(at, end) });
    at = end;
  };
  while (at < text.length) {
    const character = text.charAt(at);
    const two = text.slice(at, at + 2);
    if (isSpace(character)) push('space', endWhile(text, at, isSpace));
    else if (two === '--') push('comment', indexOr(text, '\n', at));
    else if (two === '/*') push('comment', blockCommentEnd(text, at));
    else if (character === "'") push('string', quoteEnd(text, at + 1, "'", false));
    else if (character === '"') push('quoted', quoteEnd(text, at + 1, '"', false));
    else if (/^[eE]'/.test(two)) push('string', quoteEnd(text, at + 2, "'", true));
    else if (/^[bBxXnN]'/.test(two)) push('string', quoteEnd(text, at + 2, "'", false));
    else if (/^[uU]&$/.test(two) && text.charAt(at + 2) === "'") push('string', quoteEnd(text, at + 3, "'", false));
    else if (/^[uU]&$/.test(two) && text.charAt(at + 2) === '"') push('quoted', quoteEnd(text, at + 3, '"', false));
    else if (character === '$') {
      const quoted = dollarQuoteEnd(text, at);
      if (quoted !== null) push('string', quoted);
      else {
        const end = endWhile(text, at + 1, isDigit);
        push(end > at + 1 ? 'parameter' : 'punctuation', end);
      }
    } else if (isDigit(character) || (character === '.' && isDigit(text.charAt(at + 1)))) push('number', numberEnd(text, at));
    else if (isNameStart(character)) {
      const end = endWhile(text, at, isNamePart);
      push(nameKind(text, at, end), end);
    } else push('punctuation', at + (text.codePointAt(at) ?? 0) > 0xffff ? at + 2 : at + 1);
  }
  return tokens;
}

/** Before these words a line begins, at the depth of the parentheses around them. */
const lineBefore = new Set(
  'select from where having union intersect except values returning limit offset window set join left right inner cross full natural group order and or on when else with'.split(
    ' ',
  ),
);
/** … but these only go one step in. */
const stepIn = new Set(['and', 'or', 'on', 'when', 'else', 'join', 'left', 'right', 'inner', 'cross', 'full', 'natural']);
/** Words that a join or a function of this name is made of: no new line before the second. */
const joinWords = new Set(['left', 'right', 'inner', 'cross', 'full', 'natural', 'outer']);

/**
 * The same statement with line breaks where people put them. Only white space changes: comments, strings and everything else stay as
 * they are, in their order. A text that has lines of its own keeps them.
 */
export function formatSql(text: string): string {
  if (text.includes('\n') || text.length < 60) return text;
  const tokens = sqlTokens(text);
  if (tokens.some(({ kind, text: comment }) => kind === 'comment' && comment.startsWith('--'))) return text;
  let depth = 0;
  let between = false;
  let out = '';
  let previous = '';
  for (const [index, { kind, text: token }] of tokens.entries()) {
    const word = kind === 'keyword' ? token.toLowerCase() : '';
    if (kind === 'space') {
      if (!/[\s(]$/.test(out)) out += ' ';
      continue;
    }
    if (token === '(') depth++;
    if (token === ')') depth = Math.max(0, depth - 1);
    const joined = joinWords.has(previous) || (word === 'from' && previous === 'distinct') || (word === 'set' && out === '');
    const pairs = word === 'and' && between;
    if (word === 'between') between = true;
    else if (word === 'and') between = false;
    const isCall = tokens[index + 1]?.text === '(' && (word === 'left' || word === 'right' || word === 'set');
    if (lineBefore.has(word) && out.trim() !== '' && !joined && !pairs && !isCall && depth < 4 && !out.endsWith('(')) {
      out = `${out.trimEnd()}\n${'  '.repeat(depth + (stepIn.has(word) ? 1 : 0))}`;
    }
    out += token;
    previous = word;
  }
  return out.trimEnd();
}

function nameKind(text: string, start: number, end: number): SqlTokenKind {
  const word = text.slice(start, end).toLowerCase();
  if (text.charAt(start - 1) === '.') return text.charAt(end) === '(' ? 'function' : 'name';
  if (keywords.has(word)) return 'keyword';
  return text.charAt(end) === '(' ? 'function' : 'name';
}

function isSpace(character: string): boolean {
  return character === ' ' || character === '\n' || character === '\t' || character === '\r' || character === '\f' || character === '\v';
}

function isDigit(character: string): boolean {
  return character >= '0' && character <= '9';
}

function isNameStart(character: string): boolean {
  return /[\p{L}_]/u.test(character);
}

function isNamePart(character: string): boolean {
  return /[\p{L}\p{N}_$]/u.test(character);
}

function endWhile(text: string, from: number, holds: (character: string) => boolean): number {
  let end = from;
  while (end < text.length && holds(text.charAt(end))) end++;
  return end;
}

function indexOr(text: string, wanted: string, from: number): number {
  const found = text.indexOf(wanted, from);
  return found < 0 ? text.length : found;
}

function quoteEnd(text: string, from: number, quote: string, escapes: boolean): number {
  for (let at = from; at < text.length; at++) {
    const character = text.charAt(at);
    if (escapes && character === '\\') at++;
    else if (character === quote) {
      if (text.charAt(at + 1) !== quote) return at + 1;
      at++;
    }
  }
  return text.length;
}

function blockCommentEnd(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const two = text.slice(at, at + 2);
    if (two === '/*') {
      depth++;
      at++;
    } else if (two === '*/') {
      depth--;
      at++;
      if (depth === 0) return at + 1;
    }
  }
  return text.length;
}

/** `$$` or `$tag$` up to the same again; null when the dollar begins something else. */
function dollarQuoteEnd(text: string, from: number): number | null {
  let end = from + 1;
  if (isNameStart(text.charAt(end))) end = endWhile(text, end, character => character !== '$' && isNamePart(character));
  if (text.charAt(end) !== '$') return null;
  const tag = text.slice(from, end + 1);
  const close = text.indexOf(tag, end + 1);
  return close < 0 ? text.length : close + tag.length;
}

function numberEnd(text: string, from: number): number {
  let end = endWhile(text, from, character => isDigit(character) || character === '_' || character === '.');
  if (/[eE]/.test(text.charAt(end)) && /[\d+-]/.test(text.charAt(end + 1))) end = endWhile(text, end + 2, isDigit);
  return Math.max(end, from + 1);
}
