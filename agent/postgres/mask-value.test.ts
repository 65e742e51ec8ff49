import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileDetectors } from '@sallyport/shared/detectors/engine.ts';
import type { MaskKind } from '@sallyport/shared/policy/model.ts';
import { maskValue, scanValue } from './mask-value.ts';
import type { ValueShape } from './types.ts';

const key = new Uint8Array(32).fill(3);
const mask = (shape: ValueShape, as: MaskKind, value: Buffer | string, binary = false, utf8 = true) => {
  const bytes = Buffer.from(value);
  // Bytes around the value must never be read.
  const framed = Buffer.concat([Buffer.from('<<'), bytes, Buffer.from('>>')]);
  const masked = maskValue({ shape, binary, as, hint: 'email', key, utf8 }, framed, 2, 2 + bytes.length);
  return masked === null ? null : Buffer.from(masked);
};

test('masks keep the type valid', () => {
  assert.equal(mask('text', 'partial', 'alice@example.com')?.toString(), 'a***@example.com');
  assert.equal(mask('text', 'partial', 'alice@example.com', false, false)?.toString(), '[redacted]');
  assert.equal(mask('text', 'null', 'x'), null);
  assert.equal(typeof JSON.parse(mask('json', 'redact', '{"a": "b"}')?.toString() ?? ''), 'string');
  const jsonb = mask('jsonb', 'redact', Buffer.from('\u0001{"a": 1}'), true);
  assert.equal(jsonb?.[0], 1);
  assert.equal(typeof JSON.parse(jsonb?.toString('utf8', 1) ?? ''), 'string');
  assert.match(mask('bytea', 'redact', '\\x6162')?.toString() ?? '', /^\\x[0-9a-f]+$/);
  for (const shape of ['never', 'unknown', 'textArray'] as const) assert.equal(mask(shape, 'hash', 'x'), null);
});

test('uuid: equal for equal values in both formats, NULL where no faithful mask exists', () => {
  const text = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
  const raw = Buffer.from(text.replaceAll('-', ''), 'hex');
  const a = mask('uuid', 'hash', text)?.toString();
  assert.match(a ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(mask('uuid', 'hash', raw, true)?.toString('hex'), a?.replaceAll('-', ''));
  assert.equal(mask('uuid', 'partial', text), null);
  assert.equal(mask('uuid', 'hash', 'no uuid'), null);
});

test('date: its year', () => {
  assert.equal(mask('date', 'partial', '1984-05-17')?.toString(), '1984-01-01');
  assert.equal(mask('date', 'partial', '17.05.1984'), null);
  assert.equal(mask('date', 'redact', '1984-05-17'), null);
  const binary = Buffer.alloc(4);
  binary.writeInt32BE(Math.round((Date.UTC(1984, 4, 17) - Date.UTC(2000, 0, 1)) / 86_400_000));
  assert.equal(
    mask('date', 'partial', binary, true)?.readInt32BE(0),
    Math.round((Date.UTC(1984, 0, 1) - Date.UTC(2000, 0, 1)) / 86_400_000),
  );
});

test('detectors: text, JSON, bytea in both forms, and NULL where lengths would lie', () => {
  const detectors = compileDetectors(['aws-access-key']);
  const secret = ['AKIA', 'QX5ZT7CANARYKEY2'].join('');
  const scan = (shape: ValueShape, value: Buffer | string, binary = false) => {
    const bytes = Buffer.from(value);
    const found = scanValue({ shape, binary, detectors, as: 'redact', key }, bytes, 0, bytes.length);
    return found === null || found.value === null ? found : Buffer.from(found.value).toString('latin1');
  };
  assert.equal(scan('text', 'nothing here'), null);
  for (const [shape, value, binary] of [
    ['text', `see ${secret} here`, false],
    ['json', `{"key": "${secret}"}`, false],
    ['jsonb', `\u0001{"key": "${secret}"}`, true],
    ['bytea', `\\x${Buffer.from(secret).toString('hex')}`, false],
    ['bytea', secret, true],
    ['textArray', `{${secret},x}`, false],
  ] as [ValueShape, string, boolean][]) {
    const clean = scan(shape, value, binary);
    assert.ok(typeof clean === 'string', shape);
    assert.ok(!clean.includes(secret) && !clean.includes(Buffer.from(secret).toString('hex')), `${shape}: ${clean}`);
    if (shape === 'json') JSON.parse(clean);
  }
  const array = scan('textArray', `....${secret}`, true);
  assert.ok(array !== null && typeof array === 'object' && array.value === null);
});
