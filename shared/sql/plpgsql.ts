/**
 * The SQL inside a PL/pgSQL body: PL/pgSQL's own parser splits it, and every expression and statement comes back as a text
 * that PostgreSQL's parser reads. Variables in them look like columns; that is enough to see kinds, tables and functions, and
 * not enough to follow values: a PL/pgSQL body is always opaque to flow analysis.
 */
import { isTree } from './ast.ts';
import { parsePlpgsql } from './parser.ts';

/** `parseMode` of PLpgSQL_expr (RawParseMode): 0 statements, 2 an expression, 3 to 5 an assignment. */
const MODE_STATEMENT = 0;

/** What RETURN may look like depends on the result; which result it is makes no other difference to most. */
const RESULTS = ['void', 'int', 'SETOF int', 'trigger', 'event_trigger'];

export interface Pieces {
  statements: string[];
  /** The texts of which `statements` were made, as PL/pgSQL's parser cut them out of the body. */
  sources: string[];
  dynamic: boolean;
  tells: boolean;
}

/**
 * @param body the text between the dollar quotes.
 * @param parameters names of the function's parameters, to which the body may assign.
 * @param results types that the function may have; the first that its body fits counts. `RETURN new` is no expression for `trigger`.
 * @returns each piece as a statement (`SELECT …` around an expression), whether any text is built at run time, and whether it shows
 *   values elsewhere than in its result (RAISE, an open cursor); undefined when the body does not parse.
 */
export function plpgsqlStatements(
  body: string,
  parameters: readonly string[] = [],
  results: readonly string[] = RESULTS,
): Pieces | undefined {
  let tag = '$sallyport$';
  while (body.includes(tag)) tag = `$s${tag.slice(1)}`;
  // An INOUT parameter is there twice.
  const declared = [...new Set(parameters)].flatMap(name => (name === '' ? [] : [`"${name.replaceAll('"', '""')}" text`]));
  for (const result of results) {
    const tree = parsePlpgsql(`CREATE FUNCTION f(${declared.join(', ')}) RETURNS ${result} LANGUAGE plpgsql AS ${tag}${body}${tag}`);
    if (tree === undefined) continue;
    const found: Pieces = { statements: [], sources: [], dynamic: false, tells: false };
    walk(tree, found);
    return found;
  }
  return undefined;
}

/** What shows values elsewhere than in the result, or leaves something open or decided behind it. */
const TELLS: ReadonlySet<string> = new Set(
  ['raise', 'assert', 'open', 'forc', 'call', 'commit', 'rollback'].map(name => `PLpgSQL_stmt_${name}`),
);

/** A cursor's name is data: FETCH reads what anybody in the session has opened under it, as text that is run reads anything. */
function walk(value: unknown, found: Pieces): void {
  if (Array.isArray(value)) {
    for (const item of value) walk(item, found);
    return;
  }
  if (!isTree(value)) return;
  for (const key in value) {
    if (key === 'PLpgSQL_stmt_dynexecute' || key === 'PLpgSQL_stmt_dynfors' || key === 'dynquery' || key === 'PLpgSQL_stmt_fetch')
      found.dynamic = true;
    if (TELLS.has(key)) found.tells = true;
    if (key === 'PLpgSQL_expr') {
      const expr = value[key];
      if (!isTree(expr) || typeof expr.query !== 'string') continue;
      found.sources.push(expr.query);
      const mode = typeof expr.parseMode === 'number' ? expr.parseMode : MODE_STATEMENT;
      if (mode === MODE_STATEMENT) found.statements.push(expr.query);
      else if (mode === 2) found.statements.push(`SELECT ${expr.query}`);
      else {
        const end = assignmentEnd(expr.query);
        found.statements.push(`SELECT ${expr.query.slice(end)}`);
        // Subscripts of what is assigned to are expressions too.
        const target = expr.query.slice(0, end).replace(/:?=$/, '');
        if (target.includes('[')) found.statements.push(`SELECT ${target}`);
      }
      continue;
    }
    walk(value[key], found);
  }
}

/** Behind the first `:=` or `=` outside brackets: `a[f(x = 1)] := 2`. */
function assignmentEnd(text: string): number {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '[' || c === '(') depth++;
    else if (c === ']' || c === ')') depth--;
    else if (c === '=' && depth === 0) return i + 1;
  }
  return 0;
}
