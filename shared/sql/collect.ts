/**
 * Collects what a parse tree says by itself: statement kinds wherever they stand, objects and functions named, how UPDATE and
 * DELETE are limited, whether anything may be changed. No catalog: names are as written (`*` for a schema that was not).
 * What a view, trigger, rule or default of the server does behind a statement is not visible here.
 *
 * Bodies of functions and DO blocks are opened as well (SQL by the parser, PL/pgSQL by its own); dynamic SQL in them cannot be.
 */
import type { Node, RangeVar } from 'libpg-query';
import { fieldsOf, isTree, nameParts, objectName, qualifiedName, type Tree, tagOf } from './ast.ts';
import { READ_ONLY_KINDS, statementKind } from './kinds.ts';
import { parse } from './parser.ts';
import { plpgsqlStatements } from './plpgsql.ts';
import { READ_ONLY_FUNCTIONS } from './read-only-functions.ts';
import { whereStrength } from './tautology.ts';

export interface Collected {
  kinds: Set<string>;
  objects: Set<string>;
  functions: Set<string>;
  opaque: Set<string>;
  where: 'none' | 'tautology' | 'some' | 'notApplicable';
  writes: boolean;
  /** The outcome holds for these literals only. */
  literalSensitive: boolean;
}

export function emptyCollection(): Collected {
  return {
    kinds: new Set(),
    objects: new Set(),
    functions: new Set(),
    opaque: new Set(),
    where: 'notApplicable',
    writes: false,
    literalSensitive: false,
  };
}

/** Why a CALL cannot be judged by its text alone. */
export const OPAQUE_CALL = 'CALL of a procedure';

/** Names of CTEs that a FROM clause sees, innermost first. */
interface Scope {
  names: Set<string>;
  outer: Scope | undefined;
}

const WHERE_RANK = { notApplicable: 0, some: 1, tautology: 2, none: 3 } as const;

/** Bodies within bodies (a DO that creates a function that …) are opened this deep. */
const BODY_DEPTH_MAX = 4;

/** Statements whose trees hold nothing but nodes that the walk understands, and whose literals are all A_Const. */
const LITERALS_ARE_DATA: ReadonlySet<string> = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']);

/**
 * Adds what one statement says.
 *
 * @param statement a top-level node.
 * @returns its own kind.
 */
export function collectStatement(statement: Node, into: Collected, bodyDepth = 0): string {
  const tag = tagOf(statement);
  if (!LITERALS_ARE_DATA.has(tag)) into.literalSensitive = true;
  new Walk(into, bodyDepth).node(tag, fieldsOf(statement), undefined);
  return statementKind(tag, fieldsOf(statement)) ?? 'other';
}

class Walk {
  private readonly into: Collected;
  private readonly bodyDepth: number;

  constructor(into: Collected, bodyDepth: number) {
    this.into = into;
    this.bodyDepth = bodyDepth;
  }

  /** A wrapped node, or fields whose type is known from their shape (tag ''). */
  node(tag: string, fields: Tree, scope: Scope | undefined): void {
    const { into } = this;
    const kind = statementKind(tag, fields);
    if (kind !== undefined) {
      this.kind(kind);
      switch (tag) {
        case 'UpdateStmt':
        case 'DeleteStmt':
          this.limit(fields.whereClause, fields.relation);
          break;
        case 'MergeStmt':
          this.limit(fields.joinCondition, fields.relation);
          break;
        case 'ExplainStmt':
          if (kind === 'explain') {
            // Not run: only what it names counts.
            const inner = emptyCollection();
            new Walk(inner, this.bodyDepth).value(fields.query, scope);
            for (const name of inner.objects) into.objects.add(name);
            for (const name of inner.functions) into.functions.add(name);
            for (const reason of inner.opaque) into.opaque.add(reason);
            return;
          }
          break;
        case 'DropStmt':
          this.dropped(fields);
          break;
        case 'DoStmt':
          this.body(fields.args, 'a DO block', []);
          break;
        case 'CreateFunctionStmt':
          this.body(fields.options, 'a function body', parameterNames(fields.parameters));
          break;
        case 'CopyStmt':
          if (typeof fields.filename === 'string') into.opaque.add('COPY with a file or program of the server');
          break;
        case 'CallStmt':
          into.opaque.add(OPAQUE_CALL);
          break;
      }
    }
    if (isTree(fields.intoClause)) this.kind('create-table-as'); // SELECT INTO
    if (fields.lockingClause !== undefined) into.writes = true; // FOR UPDATE takes row locks, which are written
    if (tag === 'RangeVar' || typeof fields.relname === 'string') this.relation(fields, scope);
    if (Array.isArray(fields.funcname)) this.called(fields.funcname as Node[], tag);
    if (tag === 'A_Expr' && Array.isArray(fields.name) && fields.name.length > 1) {
      const operator = nameParts(fields.name as Node[]);
      if (operator[0] !== 'pg_catalog') into.writes = true; // an operator of someone's own calls a function of someone's own
    }

    let inner = scope;
    if (isTree(fields.withClause)) inner = this.with(fields.withClause, scope);
    for (const key in fields) {
      if (key === 'withClause') continue;
      const value = fields[key];
      if (typeof value !== 'object' || value === null) continue;
      // The table that a statement changes is never a CTE.
      const target = key === 'relation' && LITERALS_ARE_DATA.has(tag);
      this.value(value, target ? undefined : inner);
    }
  }

  value(value: unknown, scope: Scope | undefined): void {
    if (Array.isArray(value)) {
      for (const item of value) this.value(item, scope);
      return;
    }
    if (!isTree(value)) return;
    const tag = tagOf(value);
    const first = tag.charCodeAt(0);
    // A wrapped node has one key, which begins with a capital letter.
    if (first >= 65 && first <= 90) {
      const fields = value[tag];
      if (isTree(fields)) this.node(tag, fields, scope);
    } else this.node('', value, scope);
  }

  private kind(kind: string): void {
    this.into.kinds.add(kind);
    if (!READ_ONLY_KINDS.has(kind)) this.into.writes = true;
  }

  private with(clause: Tree, outer: Scope | undefined): Scope {
    const scope: Scope = { names: new Set(), outer };
    const ctes = Array.isArray(clause.ctes) ? clause.ctes : [];
    const named = ctes.map(cte => (isTree(cte) && isTree(cte.CommonTableExpr) ? cte.CommonTableExpr : {}));
    if (clause.recursive === true) for (const cte of named) scope.names.add(String(cte.ctename));
    for (const cte of named) {
      // Without RECURSIVE a CTE sees those before it; its own name means the real table. The walk is done before the name is
      // added, so one scope object serves all.
      this.value(cte.ctequery, { names: new Set(scope.names), outer });
      scope.names.add(String(cte.ctename));
    }
    return scope;
  }

  private relation(fields: Tree, scope: Scope | undefined): void {
    const relation = fields as RangeVar;
    if (relation.schemaname === undefined) {
      for (let at = scope; at !== undefined; at = at.outer) if (at.names.has(relation.relname ?? '')) return;
    }
    this.into.objects.add(objectName(relation));
  }

  private called(name: Node[], tag: string): void {
    if (tag === 'CreateFunctionStmt') {
      this.into.objects.add(qualifiedName(nameParts(name)));
      return;
    }
    const parts = nameParts(name);
    this.into.functions.add(qualifiedName(parts));
    const own = parts.length > 1 && parts[parts.length - 2] !== 'pg_catalog';
    if (own || !READ_ONLY_FUNCTIONS.has(parts.at(-1) ?? '')) this.into.writes = true;
  }

  private limit(where: unknown, target: unknown): void {
    const strength = whereStrength(
      isTree(where) ? (where as unknown as Node) : undefined,
      isTree(target) ? (target as RangeVar) : undefined,
    );
    if (strength.literalsRead) this.into.literalSensitive = true;
    if (WHERE_RANK[strength.where] > WHERE_RANK[this.into.where]) this.into.where = strength.where;
  }

  private dropped(fields: Tree): void {
    for (const object of Array.isArray(fields.objects) ? fields.objects : []) {
      if (!isTree(object)) continue;
      const inner = fieldsOf(object);
      const list = inner.items ?? inner.names ?? inner.objname;
      const parts = Array.isArray(list) ? nameParts(list as Node[]) : tagOf(object) === 'String' ? [String(inner.sval)] : [];
      if (parts.length > 0) this.into.objects.add(qualifiedName(parts));
    }
  }

  /** The text given to AS, in a DO or CREATE FUNCTION, by its language. A body in SQL's own syntax is walked as nodes. */
  private body(options: unknown, what: string, parameters: readonly string[]): void {
    const { into } = this;
    let language = what === 'a DO block' ? 'plpgsql' : 'sql';
    let text: string | undefined;
    let compiled = false;
    for (const option of Array.isArray(options) ? options : []) {
      const element = isTree(option) && isTree(option.DefElem) ? option.DefElem : {};
      const arg = isTree(element.arg) ? element.arg : {};
      if (element.defname === 'language' && isTree(arg.String)) language = String(arg.String.sval).toLowerCase();
      if (element.defname !== 'as') continue;
      if (isTree(arg.String)) text = nameParts([arg as unknown as Node])[0] ?? '';
      else if (isTree(arg.List) && Array.isArray(arg.List.items)) {
        const items = nameParts(arg.List.items as Node[]);
        text = items[0];
        compiled = items.length > 1;
      }
    }
    if (text === undefined) {
      if (what === 'a DO block') into.opaque.add('a DO block without text');
      return;
    }
    if (compiled || (language !== 'sql' && language !== 'plpgsql')) {
      into.opaque.add(`${what} in ${language}`);
      return;
    }
    if (this.bodyDepth >= BODY_DEPTH_MAX) {
      into.opaque.add(`${what} inside too many others`);
      return;
    }
    if (language === 'plpgsql') {
      const found = plpgsqlStatements(text, parameters);
      if (found === undefined) {
        into.opaque.add(`${what} that does not parse`);
        return;
      }
      if (found.dynamic) into.opaque.add('dynamic SQL');
      for (const statement of found.statements) this.text(statement, what);
    } else this.text(text, what);
  }

  private text(sql: string, what: string): void {
    const outcome = parse(Buffer.from(sql));
    if (!outcome.ok) {
      this.into.opaque.add(`${what} that does not parse`);
      return;
    }
    for (const statement of outcome.statements) collectStatement(statement.node, this.into, this.bodyDepth + 1);
  }
}

function parameterNames(parameters: unknown): string[] {
  return (Array.isArray(parameters) ? parameters : []).flatMap(parameter => {
    const name = isTree(parameter) && isTree(parameter.FunctionParameter) ? parameter.FunctionParameter.name : undefined;
    return typeof name === 'string' ? [name] : [];
  });
}
