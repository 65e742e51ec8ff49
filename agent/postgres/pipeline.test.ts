import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Expected, Kind, type KindOf, Pipeline, type Portal, type Statement } from './pipeline.ts';

const statement = (name: string, segment = 1): Statement => ({ name, segment, weight: 10, confirmed: false }) as unknown as Statement;
const portal = (name: string, segment = 1, holdable = false): Portal => ({ name, segment, holdable }) as unknown as Portal;

function push(pipeline: Pipeline, kind: KindOf): Expected {
  const entry = new Expected(kind, false);
  pipeline.push(entry);
  return entry;
}

describe('names', () => {
  test('a skipped Parse leaves what was there, a failed unnamed one leaves nothing', () => {
    const pipeline = new Pipeline();
    const old = statement('');
    pipeline.addStatement(old, new Expected(Kind.Parse, false));
    const next = new Expected(Kind.Parse, false);
    pipeline.addStatement(statement(''), next);
    pipeline.undo(next, false);
    assert.equal(pipeline.statements.get(''), old);
    const failing = new Expected(Kind.Parse, false);
    pipeline.addStatement(statement(''), failing);
    pipeline.undo(failing, true);
    assert.equal(pipeline.statements.has(''), false);
  });

  test('a named Parse that fails over a name in use leaves the old one', () => {
    const pipeline = new Pipeline();
    const old = statement('s');
    pipeline.addStatement(old, new Expected(Kind.Parse, false));
    const failing = new Expected(Kind.Parse, false);
    pipeline.addStatement(statement('s'), failing);
    pipeline.undo(failing, true);
    assert.equal(pipeline.statements.get('s'), old);
  });

  test('Close, Parse and Bind that are skipped are taken back in order', () => {
    const pipeline = new Pipeline();
    const old = statement('s');
    pipeline.addStatement(old, new Expected(Kind.Parse, false));
    push(pipeline, Kind.Bind);
    const close = push(pipeline, Kind.Close);
    pipeline.removeStatement('s', close);
    const parse = push(pipeline, Kind.Parse);
    pipeline.addStatement(statement('s'), parse);
    const bind = push(pipeline, Kind.Bind);
    pipeline.addPortal(portal('p'), bind);
    const sync = push(pipeline, Kind.Sync);
    pipeline.shift();
    assert.equal(pipeline.dropUntilSync().length, 3);
    assert.equal(pipeline.statements.get('s'), old);
    assert.equal(pipeline.portals.size, 0);
    assert.equal(pipeline.head, sync);
    assert.equal(pipeline.skipping, false);
  });

  test('portals go with their transaction, those of later segments and WITH HOLD stay', () => {
    const pipeline = new Pipeline();
    for (const each of [portal('a', 1), portal('b', 2), portal('c', 1, true)]) pipeline.addPortal(each, new Expected(Kind.Bind, false));
    pipeline.transactionEnded(1);
    assert.deepEqual([...pipeline.portals.keys()], ['b', 'c']);
  });

  test('both maps are bounded', () => {
    const pipeline = new Pipeline();
    assert.throws(() => {
      for (let i = 0; i < 20_000; i++) pipeline.addStatement(statement(`s${i}`), new Expected(Kind.Parse, false));
    }, /too many/);
    assert.throws(() => {
      for (let i = 0; i < 20_000; i++) pipeline.addPortal(portal(`p${i}`), new Expected(Kind.Bind, false));
    }, /too many/);
  });
});

describe('the queue', () => {
  test('grows, keeps its order, and refuses an answer that nobody waits for', () => {
    const pipeline = new Pipeline();
    const entries = Array.from({ length: 500 }, () => push(pipeline, Kind.Bind));
    for (const entry of entries) assert.equal(pipeline.shift(), entry);
    assert.throws(() => pipeline.shift(), { code: 'PG_UPSTREAM_PROTOCOL' });
  });

  test('an error without a Sync behind it makes everything be skipped until one comes', () => {
    const pipeline = new Pipeline();
    push(pipeline, Kind.Execute);
    pipeline.dropUntilSync();
    assert.equal(pipeline.skipping, true);
  });

  test('Sync in front of the data of a COPY is ignored by the server, behind its end it is not', () => {
    const pipeline = new Pipeline();
    push(pipeline, Kind.Execute);
    push(pipeline, Kind.Sync);
    pipeline.enterCopyIn();
    assert.equal(pipeline.copyIn, true);
    assert.equal(pipeline.length, 1);

    const blind = new Pipeline();
    push(blind, Kind.Execute);
    push(blind, Kind.CopyEnd);
    const sync = push(blind, Kind.Sync);
    blind.enterCopyIn();
    assert.equal(blind.copyIn, false);
    assert.equal(blind.length, 2);
    assert.equal(blind.at(1), sync);
  });
});
