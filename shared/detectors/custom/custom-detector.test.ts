import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../errors.ts';
import { compileDetectors } from '../engine.ts';
import { requiredLiteral } from './custom-detector.ts';
import { parseGitleaksConfig } from './gitleaks.ts';
import { parsePattern } from './syntax.ts';

function found(text: string, custom: Parameters<typeof compileDetectors>[1]): [string, string][] {
  const names = (custom?.custom ?? []).map(detector => detector.name);
  return compileDetectors(names, custom)
    .scanText(text)
    .map(span => [span.detector, text.slice(span.start, span.end)]);
}

test('a custom detector finds its secret group', () => {
  const custom = [{ name: 'acme-key', pattern: '(?i)acme[_-]?key\\s*=\\s*"([a-z0-9]{10})"', keywords: ['acme'], secretGroup: 1 }];
  assert.deepEqual(found('x ACME_KEY = "abc123def4" y acme-key="0000000000"', { custom }), [
    ['acme-key', 'abc123def4'],
    ['acme-key', '0000000000'],
  ]);
  assert.deepEqual(found('KEY = "abc123def4"', { custom }), []);
});

test('entropy, stop words and allowed patterns', () => {
  const base = { name: 'acme', pattern: 'acme_([a-z0-9]+)' };
  assert.deepEqual(found('acme_aaaaaaaa', { custom: [{ ...base, entropy: 2 }] }), []);
  assert.deepEqual(found('acme_a1b2c3d4', { custom: [{ ...base, entropy: 2 }] }), [['acme', 'a1b2c3d4']]);
  assert.deepEqual(
    found('acme_example1', { custom: [{ ...base, allow: [{ patterns: [], stopWords: ['example'], target: 'secret' }] }] }),
    [],
  );
  assert.deepEqual(
    found('test: acme_a1b2', { custom: [{ ...base, allow: [{ patterns: ['^test:'], stopWords: [], target: 'line' }] }] }),
    [],
  );
});

test('a detector without keywords runs on its own literal, or on everything', () => {
  assert.equal(requiredLiteral(parsePattern('(?i)[a-z]+Acme_(\\d+)').root), 'acme_');
  assert.equal(requiredLiteral(parsePattern('foo|barbaz').root), undefined);
  assert.deepEqual(found('qqq', { custom: [{ name: 'three', pattern: '[p-r]{3}' }] }), [['three', 'qqq']]);
  const set = compileDetectors(['three'], { custom: [{ name: 'three', pattern: '\\b[p-r]{3}\\b' }] });
  const wire = Buffer.from('\u0000\u0000\u0000\u0003qqqD');
  assert.ok(set.mightMatch(wire, 0, wire.length));
});

test('broken detectors are refused', () => {
  for (const custom of [
    [{ name: 'bad name', pattern: 'a' }],
    [{ name: 'group', pattern: 'a', secretGroup: 1 }],
    [{ name: 'entropy', pattern: 'a', entropy: 9 }],
  ]) {
    assert.throws(
      () => compileDetectors([custom[0]?.name ?? ''], { custom }),
      (error: unknown) => error instanceof GatewayError && error.code === 'DETECTOR_INVALID',
    );
  }
  assert.throws(
    () => compileDetectors(['nope']),
    (error: unknown) => error instanceof GatewayError && error.code === 'DETECTOR_UNKNOWN',
  );
});

test('a gitleaks configuration is imported', () => {
  const { detectors, warnings } = parseGitleaksConfig(
    `
title = "example"
[extend]
useDefault = true
[allowlist]
stopwords = ["placeholder"]
[[rules]]
id = "acme-token"
description = "Acme"
regex = '''(?i)acme[a-z]*(?:\\s|=)+([a-z0-9]{16})(?:[\\x60'"\\s;]|\\\\[nr]|$)'''
entropy = 3
keywords = ["acme"]
  [[rules.allowlists]]
  regexes = ['''^0{16}$''']
[[rules]]
id = "by-path"
path = '''\\.pem$'''
[[rules]]
id = "lookahead"
regex = '''a(?=b)'''
`,
    'rules.toml',
  );
  assert.deepEqual(
    detectors.map(detector => detector.name),
    ['acme-token'],
  );
  assert.equal(warnings.length, 3);
  assert.deepEqual(found('ACMETOKEN = q1w2e3r4t5y6u7i8;', { custom: detectors }), [['acme-token', 'q1w2e3r4t5y6u7i8']]);
  assert.throws(
    () => parseGitleaksConfig('x = ', 'x.toml'),
    (error: unknown) => error instanceof GatewayError && error.code === 'GITLEAKS_CONFIG_INVALID',
  );
  assert.throws(
    () => parseGitleaksConfig('x = 1', 'x.toml'),
    (error: unknown) => error instanceof GatewayError && error.code === 'GITLEAKS_CONFIG_INVALID',
  );
});
