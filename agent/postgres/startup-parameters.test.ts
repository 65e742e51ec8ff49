import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseParameters } from './startup-parameters.ts';

const choose = (parameters: Record<string, string>) => chooseParameters(new Map(Object.entries(parameters)));

test('what is passed on, whatever way it comes', () => {
  const { user, database, passed, protocolOptions } = choose({
    user: 'alice',
    database: 'app',
    DateStyle: 'ISO',
    application_name: 'x',
    options: '-c search_path=a\\ b -cwork_mem=1MB --statement-timeout=5s',
    '_pq_.future': '1',
  });
  assert.deepEqual({ user, database, protocolOptions }, { user: 'alice', database: 'app', protocolOptions: ['_pq_.future'] });
  assert.deepEqual(
    [...passed],
    [
      ['datestyle', 'ISO'],
      ['application_name', 'x'],
      ['search_path', 'a b'],
      ['work_mem', '1MB'],
      ['statement_timeout', '5s'],
    ],
  );
});

test('what is refused', () => {
  for (const parameters of [
    { role: 'postgres' },
    { session_authorization: 'postgres' },
    { session_preload_libraries: 'x' },
    { standard_conforming_strings: 'off' },
    { options: '-c role=postgres' },
    { options: '-c\\ role=postgres' },
    { options: '--role=postgres' },
    { options: '-d 5' },
    { options: '-c' },
    { options: '-c search_path' },
  ]) {
    assert.throws(
      () => choose(parameters as unknown as Record<string, string>),
      { code: 'PG_STARTUP_PARAMETER' },
      JSON.stringify(parameters),
    );
  }
  for (const replication of ['true', 'database', '1', 'on', 'yes'])
    assert.throws(() => choose({ replication }), { code: 'PG_REPLICATION' });
  assert.doesNotThrow(() => choose({ replication: 'false' }));
});
