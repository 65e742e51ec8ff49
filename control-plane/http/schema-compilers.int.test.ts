/** Schemas are compiled when they are first needed: that every one of them can be is held here, not by a start. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { schemaCompilers } from './schema-compilers.ts';
import { withApi } from './test-api.ts';

test('every schema of every route can be compiled, and none was before a request needed it', async () => {
  const compilers = schemaCompilers();
  await withApi(
    () => '',
    async api => {
      const before = compilers.compiled();
      assert.equal((await api.call('GET', '/v1/agents?limit=nothing')).status, 400);
      const after = compilers.compiled();
      assert.ok(after > before, 'a refused request has compiled what refused it');
      const all = compilers.compileAll();
      assert.ok(all > 200, `${all} schemas`);
      assert.equal(compilers.compiled(), all);
      assert.ok(before < all / 4, `${before} of ${all} were compiled at the start`);
    },
    { compilers },
  );
});

test('a schema that cannot be compiled is found', () => {
  const compilers = schemaCompilers();
  const compile = compilers.buildValidator({}, { customOptions: {} });
  compile({ schema: { type: 'no such type' }, method: 'GET', url: '/', httpPart: 'body' } as never);
  assert.throws(() => compilers.compileAll(), /schema is invalid/);
});
