import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fieldsAt, placeAt } from './complete-manifest.ts';

const text = `apiVersion: sallyport.dev/v1
kind: Guard
metadata:
  name: x
spec:
  resources:
    names:
      - crm
  rules:
    - name: a
      match:
        statements: [drop]
      action: de
`.split('\n');

test('where one is, by indentation', () => {
  assert.deepEqual(placeAt(text, 1, 6), { path: [], key: 'kind' });
  assert.deepEqual(placeAt(text, 5, 4), { path: ['spec'], key: null });
  assert.deepEqual(placeAt(text, 11, 12), { path: ['spec', 'rules', 'match'], key: null });
  assert.deepEqual(placeAt(text, 12, 16), { path: ['spec', 'rules'], key: 'action' });
});

test('the fields of that place, from the schema', () => {
  assert.ok(fieldsAt('Guard', []).some(({ name }) => name === 'spec'));
  assert.ok(fieldsAt('Guard', ['spec', 'rules']).some(({ name }) => name === 'match'));
  assert.deepEqual(fieldsAt('Guard', ['spec', 'nothing']), []);
  const action = fieldsAt('Guard', placeAt(text, 12, 16).path).find(({ name }) => name === 'action');
  assert.ok(action?.value.values?.includes('deny'));
});
