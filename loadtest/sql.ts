/**
 * How long it takes to judge a statement: parsing, facts, and information flow. No server, no network, no disk.
 *
 *   npm run -s bench:sql
 *
 * Cases: a statement seen before with other literals (a cache by its key), the same text again, new short statements (never
 * the same twice, flow analysis included), and the 22 queries of TPC-H as new statements. Each value is microseconds per
 * statement, the median of seven rounds; the peer is libpg-query's own parse of the same text in the same round.
 */
import { parseText, StatementAnalyser } from '@sallyport/shared/sql/analyse.ts';
import { FlowAnalyser } from '@sallyport/shared/sql/flow/analyse-flow.ts';
import { type CatalogRelation, type CatalogSnapshot, relationKey } from '@sallyport/shared/sql/flow/catalog.ts';
import { NO_SESSION } from '@sallyport/shared/sql/flow/session.ts';
import { loadParser, parse } from '@sallyport/shared/sql/parser.ts';
import { figure, median, table } from './harness/figures.ts';
import { TPCH_QUERIES, TPCH_TABLES } from './sql-tpch.ts';

const ROUNDS = 7;
const SETTINGS = { standardConformingStrings: true };

function catalogOf(tables: Readonly<Record<string, string>>): CatalogSnapshot {
  const relations = new Map<number, CatalogRelation>();
  const relationsByName = new Map<string, CatalogRelation>();
  for (const [i, [name, columns]] of Object.entries(tables).entries()) {
    const relation: CatalogRelation = {
      oid: 16384 + i,
      schema: 'public',
      name,
      kind: 'r',
      columns: columns.split(' ').map((column, at) => ({ name: column, attnum: at + 1, type: 25, generated: null, default: null })),
      parents: [],
      definition: null,
      rules: false,
      rowType: 0,
    };
    relations.set(relation.oid, relation);
    relationsByName.set(relationKey('public', name), relation);
  }
  return {
    serverVersion: 180000,
    schemas: new Set(['public']),
    user: null,
    usable: new Set(['public']),
    relations,
    relationsByName,
    children: new Map(),
    functions: new Map(),
    functionsByName: new Map(),
    functionNames: new Set(),
    systemColumns: new Map(),
    systemTypes: new Map(),
    types: new Map(),
    typesByName: new Map(),
    operators: new Map(),
    casts: new Map(),
  };
}

await loadParser();
const catalog = catalogOf({ ...TPCH_TABLES, customers: 'id name email created_at', items: 'id customer_id name total created_at' });
const flow = new FlowAnalyser(catalog, (_schema, name, column) => (name === 'customers' && column === 'email') || column === 'c_phone');

/** Facts and flow of a text that no cache knows. */
function judgeNew(analyser: StatementAnalyser, bytes: Uint8Array): void {
  analyser.analyseBytes(bytes, SETTINGS);
  const parsed = parseText(bytes);
  if (!parsed.ok) throw new Error(parsed.reason);
  for (const { node } of parsed.statements) {
    const result = flow.analyse(node, NO_SESSION);
    if (result.unknown.length > 0) throw new Error(JSON.stringify(result.unknown));
  }
}

function time(work: () => void, times: number): number {
  const start = performance.now();
  work();
  return ((performance.now() - start) * 1000) / times;
}

let serial = 0;
const many = <T>(count: number, make: (n: number) => T): T[] => Array.from({ length: count }, () => make(serial++));
const bytesOf = (text: string): Uint8Array => Buffer.from(text);

interface Case {
  name: string;
  target: number | null;
  statements: () => Uint8Array[];
  judge: (statements: readonly Uint8Array[]) => void;
}

const warm = new StatementAnalyser({ cacheEntries: 4096 });
const seen = (n: number): Uint8Array =>
  bytesOf(`select id, name, created_at from customers where id = ${n} and name <> 'name ${n}' order by created_at desc limit 20`);
const cold = (statements: readonly Uint8Array[]): void => {
  const analyser = new StatementAnalyser({ cacheEntries: 64 });
  for (const bytes of statements) judgeNew(analyser, bytes);
};

const cases: Case[] = [
  {
    name: 'seen before, other literals',
    target: 5,
    statements: () => many(20000, seen),
    judge: statements => {
      for (const bytes of statements) warm.analyseBytes(bytes, SETTINGS);
    },
  },
  {
    name: 'seen before, same bytes',
    target: 5,
    statements: () => new Array<Uint8Array>(20000).fill(seen(1)),
    judge: statements => {
      for (const bytes of statements) warm.analyseBytes(bytes, SETTINGS);
    },
  },
  {
    name: 'seen before, kept by text',
    target: 5,
    statements: () => new Array<Uint8Array>(20000).fill(bytesOf("update customers set name = 'x' where 1 = 1")),
    judge: statements => {
      for (const bytes of statements) warm.analyseBytes(bytes, SETTINGS);
    },
  },
  {
    name: 'new and short, with flow',
    target: 120,
    statements: () => many(1000, n => bytesOf(`select id as a${n}, upper(name) as b${n}, email from customers where id = ${n}`)),
    judge: cold,
  },
  {
    name: 'new join, with flow',
    target: null,
    statements: () =>
      many(500, n =>
        bytesOf(
          `select c.id as a${n}, c.email, count(*) as n, sum(i.total) from customers c join items i on i.customer_id = c.id where i.created_at > '2026-01-01' and c.name like 'A%' group by c.id, c.email order by 4 desc limit 10`,
        ),
      ),
    judge: cold,
  },
  ...TPCH_QUERIES.map(
    (text, i): Case => ({
      name: `TPC-H Q${i + 1}, new, with flow`,
      target: 1500,
      statements: () => many(20, n => bytesOf(`${text} -- ${n}`)),
      judge: cold,
    }),
  ),
];

for (const one of cases) {
  const own: number[] = [];
  const peer: number[] = [];
  // A worker lives long: the engine has compiled parser and analysis by the time that counts.
  for (let warming = 0; warming < 3; warming++) one.judge(one.statements());
  for (let round = 0; round < ROUNDS; round++) {
    const statements = one.statements();
    const some = statements.slice(0, 500);
    const parses = (): void => {
      for (const bytes of some) parse(bytes);
    };
    // In turn, the other one first in every second round.
    if (round % 2 === 0) peer.push(time(parses, some.length));
    own.push(time(() => one.judge(statements), statements.length));
    if (round % 2 === 1) peer.push(time(parses, some.length));
  }
  const value = median(own);
  figure({
    bench: 'sql',
    case: one.name,
    subject: 'sallyport',
    value,
    unit: 'us/statement',
    ratios: { 'libpg-query parse': value / median(peer) },
    ...(one.target === null ? {} : { target: `under ${one.target} us`, met: value < one.target }),
  });
}
table();
