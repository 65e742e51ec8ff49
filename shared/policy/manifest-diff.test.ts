import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalManifest, diffManifest, redactedManifest } from './manifest-diff.ts';
import type { Manifest } from './model.ts';

const credential = (password: object, username = 'app'): Manifest => ({
  kind: 'Credential',
  name: 'c',
  labels: {},
  spec: { username, password } as never,
});
const guard = (rules: object[]): Manifest => ({
  kind: 'Guard',
  name: 'g',
  labels: {},
  spec: { resources: {}, priority: 0, rules } as never,
});

test('nothing changed', () => {
  assert.deepEqual(diffManifest(credential({ env: 'A' }), credential({ env: 'A' })), []);
});

test('fields, also new and removed', () => {
  assert.deepEqual(diffManifest(credential({ env: 'A' }), credential({ file: 'f' }, 'root')), [
    { path: 'spec.password.env', before: 'A', after: undefined },
    { path: 'spec.password.file', before: undefined, after: 'f' },
    { path: 'spec.username', before: 'app', after: 'root' },
  ]);
  assert.deepEqual(
    diffManifest(null, credential({ env: 'A' })).map(change => change.path),
    ['spec.password.env', 'spec.username'],
  );
  assert.deepEqual(
    diffManifest(credential({ env: 'A' }), null).map(change => change.after),
    [undefined, undefined],
  );
});

test('secrets never show, but their change does', () => {
  const changes = [
    diffManifest(null, credential({ value: 'hunter2' })),
    diffManifest(credential({ value: 'hunter2' }), credential({ value: 'hunter3' })),
    diffManifest(credential({ value: 'hunter2' }), credential({ env: 'A' })),
    diffManifest(credential({ value: 'hunter2' }), null),
  ];
  assert.doesNotMatch(JSON.stringify([changes, redactedManifest(credential({ value: 'hunter2' }))]), /hunter/);
  assert.deepEqual(changes[1], [{ path: 'spec.password.value', before: '(secret)', after: '(another secret)' }]);
  assert.deepEqual(diffManifest(credential({ value: 'x' }), credential({ value: 'x' })), []);
});

test('rules are compared by name, and their order as well', () => {
  const a = { name: 'a', action: 'deny', match: { statements: ['drop'] } };
  const b = { name: 'b', action: 'allow', match: {} };
  assert.deepEqual(diffManifest(guard([a, b]), guard([a, { ...b, action: 'deny' }])), [
    { path: 'spec.rules[b].action', before: 'allow', after: 'deny' },
  ]);
  assert.deepEqual(diffManifest(guard([a]), guard([{ ...a, match: { statements: ['drop', 'alter'] } }])), [
    { path: 'spec.rules[a].match.statements', before: ['drop'], after: ['drop', 'alter'] },
  ]);
  assert.deepEqual(diffManifest(guard([a, b]), guard([b, a])), [{ path: 'spec.rules (order)', before: ['a', 'b'], after: ['b', 'a'] }]);
});

test('a PEM shows as its fingerprint', () => {
  const pem = (body: string) =>
    ({
      kind: 'Resource',
      name: 'r',
      labels: {},
      spec: { tls: { ca: `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n` } } as never,
    }) as Manifest;
  const [change] = diffManifest(pem('A'), pem('B'));
  assert.match(String(change?.before), /^\(PEM, sha256 [0-9a-f]{16}\)$/);
  assert.notEqual(change?.before, change?.after);
});

test('canonical text does not depend on the order of keys', () => {
  const one: Manifest = { kind: 'Credential', name: 'c', labels: { b: '2', a: '1' }, spec: { username: 'u', password: { env: 'E' } } };
  const two: Manifest = { spec: { password: { env: 'E' }, username: 'u' }, labels: { a: '1', b: '2' }, name: 'c', kind: 'Credential' };
  assert.equal(canonicalManifest(one), canonicalManifest(two));
  assert.equal(
    canonicalManifest(one),
    '{"kind":"Credential","labels":{"a":"1","b":"2"},"name":"c","spec":{"password":{"env":"E"},"username":"u"}}',
  );
});
