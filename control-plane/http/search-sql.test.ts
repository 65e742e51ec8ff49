import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseQuery } from '@sallyport/shared/search/query.ts';
import { type Over, outputWords, type SearchScope, searchSql } from './search-sql.ts';

const sql = (over: Over, text: string, scope: SearchScope = { liveIds: [] }) => {
  const result = parseQuery(text, 1000);
  assert.ok(result.ok, text);
  return searchSql(over, result.parsed, scope);
};

test('what people write is a parameter and never SQL', () => {
  const hostile = `x') OR 1=1 --`;
  for (const over of ['sessions', 'commands'] as const) {
    const { where, parameters } = sql(
      over,
      `who:"${hostile}" text:"${hostile}" rule:"${hostile}*" object:"${hostile}" output:"${hostile}" rows:>5`,
    );
    assert.ok(!where.includes('1=1'), where);
    assert.deepEqual(Object.values(parameters).filter(value => String(value).includes('1=1')).length, 5);
  }
});

test('terms about commands hold for one and the same command; a negated one finds sessions without such a command', () => {
  const { where } = sql('sessions', 'resource:crm decision:denied text:drop');
  assert.equal(where.match(/SELECT session_id/g)?.length, 1);
  assert.match(
    sql('sessions', '-decision:denied').where,
    /NOT session_id IN \(SELECT session_id FROM sallyport\.commands WHERE decision = /,
  );
});

test('a person’s search is narrowed to what is theirs, in the sub-query as well', () => {
  const own = { principal: 'ann', issuer: 'i' };
  const { where, parameters } = sql('sessions', 'text:x OR is:live', { own, ownCommands: own, liveIds: ['s'] });
  assert.equal(where.match(/principal = /g)?.length, 2);
  assert.equal(Object.values(parameters).filter(value => value === 'ann').length, 2);
  assert.match(sql('commands', '', { own, ownCommands: own, liveIds: [] }).where, /^WHERE \(principal = .* AND issuer = /);
});

test('output is looked for no further back than the commands, and what must not be in it is not shown', () => {
  assert.match(
    sql('commands', 'output:x since:2026-01-01').where,
    /IN \(SELECT session_id, command_seq FROM sallyport\.output WHERE \(at >= /,
  );
  const result = parseQuery('output:a,b (output:c OR -output:d) -(output:e text:f)', 0);
  assert.ok(result.ok && result.parsed.query !== null);
  assert.deepEqual(outputWords(result.parsed.query), ['a', 'b', 'c']);
});

test('who acts for whom is found from both ends', () => {
  const { where, parameters } = sql('sessions', 'for:ann*');
  assert.match(where, /notEmpty\(delegation\) AND \(principal LIKE .* OR arrayExists/);
  assert.deepEqual(Object.values(parameters), ['ann%']);
});

test('a pattern’s own signs are no wildcards', () => {
  assert.deepEqual(Object.values(sql('commands', 'who:a_b%*').parameters), ['a\\_b\\%%']);
});
