import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CatalogRelation } from '@sallyport/shared/sql/flow/catalog.ts';
import type { FlowResult } from '@sallyport/shared/sql/flow/result.ts';
import type { Catalog } from './catalog.ts';
import type { StatementFlow } from './flow.ts';
import type { OwnCatalog } from './own-catalog.ts';
import { SessionNames } from './session-names.ts';

const table = (name: string): CatalogRelation => ({
  oid: 0,
  schema: 'pg_temp',
  name,
  kind: 'r',
  columns: [],
  parents: [],
  definition: null,
  rules: false,
  rowType: 0,
});

function ran(change: Partial<FlowResult['change']>): StatementFlow {
  const made = change.made;
  const result = { changesCatalog: true, change: { made: undefined, names: [], temporary: false, ...change } };
  return { result: result as unknown as FlowResult, verdict: { kind: 'unknown' }, makes: made };
}

const ownWith = (...names: string[]) =>
  ({ temporary: new Map(names.map(name => [name, table(name)])), temporaryNames: new Set(names) }) as unknown as OwnCatalog;

function session() {
  const catalog = { version: 1 };
  return { catalog, names: new SessionNames(catalog as unknown as Catalog) };
}

test('a changed name is in doubt until the own catalog is read, and again when that is undone', () => {
  const { names } = session();
  assert.equal(names.canBeRead, false);
  names.completed(ran({ names: ['v'] }), 'public');
  assert.deepEqual(names.inDoubt, ['v']);
  names.ownIs(ownWith());
  assert.deepEqual([names.inDoubt, names.canBeRead], [[], false]);
  names.undone();
  assert.deepEqual([names.inDoubt, names.own], [['v'], null]);
});

test('what cannot be read is asked for again only when something has changed', () => {
  const { names } = session();
  names.completed(ran({ names: ['v'] }), 'public');
  names.ownIs(null);
  assert.deepEqual([names.inDoubt, names.canBeRead], [['v'], false]);
  names.completed(ran({ names: ['w'] }), 'public');
  assert.equal(names.canBeRead, true);
});

test('at the end of a transaction nothing is in doubt, unless something may be temporary', () => {
  const { names } = session();
  names.completed(ran({ names: ['v'] }), 'public');
  assert.equal(names.transactionEnded(), true);
  assert.deepEqual(names.inDoubt, []);
  names.completed(ran({ names: ['t'], temporary: true }), 'public');
  names.transactionEnded();
  assert.deepEqual(names.inDoubt, ['t']);
  // From now on a view over something temporary would be temporary without saying so.
  names.completed(ran({ names: ['v'] }), 'public');
  names.transactionEnded();
  assert.deepEqual(names.inDoubt, ['t', 'v']);
});

test('a temporary table outlives a commit, but not an error', () => {
  const { names } = session();
  names.completed(ran({ made: table('kept'), temporary: true }), 'public');
  names.transactionEnded();
  assert.deepEqual([[...names.temporary.keys()], names.inDoubt], [['kept'], []]);
  names.completed(ran({ made: table('lost'), temporary: true }), 'public');
  names.failed();
  names.transactionEnded();
  assert.deepEqual([[...names.temporary.keys()], names.inDoubt], [['kept'], ['lost']]);
});

test('the own catalog is of no use once others have changed the shared one', () => {
  const { catalog, names } = session();
  names.completed(ran({ names: ['t'], temporary: true }), 'public');
  names.ownIs(ownWith('t'));
  assert.deepEqual([...names.temporary.keys()], ['t']);
  const { version } = names;
  catalog.version = 2;
  assert.deepEqual([names.own, names.inDoubt, names.temporary.size], [null, ['t'], 0]);
  assert.notEqual(names.version, version);
});

test('statements that nobody has followed leave any name in doubt', () => {
  const { names } = session();
  names.forget();
  assert.deepEqual([names.inDoubt, names.canBeRead], [['*'], true]);
});

test('names are bounded: of too many, any is in doubt', () => {
  const { names } = session();
  names.completed(ran({ names: Array.from({ length: 3000 }, (_, i) => `n${i}`) }), 'public');
  assert.equal(names.inDoubt.includes('*'), true);
  assert.equal(names.inDoubt.length <= 1000, true);
});
