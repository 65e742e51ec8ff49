import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CustomDetector } from '../detectors/custom/definition.ts';
import { compileDetectors } from '../detectors/engine.ts';
import { sessionPolicy } from './decide.ts';
import { inlineCertificates } from './inline-certificates.ts';
import { parseManifests, problemText } from './manifests.ts';
import type { Manifest, Principal } from './model.ts';
import { policyOf } from './policy-of.ts';

const HEAD = `
kind: Resource
metadata: { name: crm }
spec: { protocol: postgres, upstream: { address: "127.0.0.1:5432", tls: { mode: disable } }, credential: c }
---
kind: Credential
metadata: { name: c }
spec: { username: app, password: { env: P } }
---
kind: DataPolicy
metadata: { name: own }
spec:
  resources: {}
`;

const TOML = `
title = "acme"
[extend]
useDefault = true
[[rules]]
id = "acme-key"
regex = '''\\bacme_([0-9a-f]{16})\\b'''
secretGroup = 1
entropy = 2.5
keywords = ["acme_"]
[[rules]]
id = "jwt"
regex = '''\\bjw\\.[a-z]{8}\\b'''
[[rules]]
id = "helper"
regex = '''helper'''
skipReport = true
[[rules]]
id = "composite"
regex = '''compo[0-9]{4}'''
[[rules.required]]
id = "helper"
[[rules]]
id = "by-path"
path = '''\\.p12$'''
[[rules]]
id = "backtracking"
regex = '''(?=x)y'''
[[allowlists]]
targetRules = ["composite"]
regexes = ['''0000$''']
`;

function parsed(spec: string, files: Record<string, string> = {}) {
  return parseManifests([{ path: 'p.yaml', text: HEAD + spec }], { readFile: name => files[name] ?? '' });
}

const who: Principal = { kind: 'person', name: 'a', issuer: '', subject: '', groups: [], delegation: [] };

function ownOf(manifests: readonly Manifest[]): CustomDetector[] | undefined {
  return manifests.find((each): each is Manifest<'DataPolicy'> => each.kind === 'DataPolicy')?.spec.customDetectors;
}

/** What a session's detectors find in a text. */
function found(manifests: readonly Manifest[], text: string): string[] {
  const policy = sessionPolicy(policyOf(manifests), who, 'crm');
  return compileDetectors(policy.detectors, { custom: policy.customDetectors })
    .scanText(text)
    .map(({ start, end, detector }) => `${detector} ${text.slice(start, end)}`);
}

test('detectors of a policy’s own are on, beside the built-in ones', () => {
  const { manifests, problems } = parsed(`
  detectors: [email, order-number]
  customDetectors:
    - { name: order-number, pattern: '\\bORD-[0-9]{6}\\b', keywords: [ord-], allow: [{ stopWords: ["000000"] }] }
    - { name: badge, pattern: 'badge=(\\w+)', secretGroup: 1 }
`);
  assert.deepEqual(problems, []);
  assert.deepEqual(found(manifests, 'ORD-123456 ORD-000000 badge=x7 a@example.com'), [
    'order-number ORD-123456',
    'badge x7',
    'email a@example.com',
  ]);
});

test('a gitleaks configuration: rules, groups, entropy, targeted allowlists; what is left out is told', () => {
  const { manifests, problems, warnings } = parsed('  gitleaks: { file: gitleaks.toml }\n', { 'gitleaks.toml': TOML });
  assert.deepEqual(problems, []);
  const customDetectors = ownOf(manifests);
  assert.deepEqual(
    customDetectors?.map(each => each.name),
    ['acme-key', 'gitleaks-jwt', 'composite'],
  );
  const told = warnings.map(problemText).join('\n');
  for (const expected of [
    /\[extend\] is left out/,
    /helper is left out.*skipReport/,
    /`required` of rule composite/,
    /by-path is left out/,
    /backtracking is left out/,
    /rule jwt is called gitleaks-jwt/,
  ])
    assert.match(told, expected);
  assert.match(told, /^p\.yaml:14:13: /m);
  // The random one, not the monotonous one: entropy. The allowlist holds for its target rule alone.
  assert.deepEqual(found(manifests, 'acme_0123456789abcdef acme_0000000000000000 jw.abcdefgh compo0000 compo1234'), [
    'acme-key 0123456789abcdef',
    'gitleaks-jwt jw.abcdefgh',
    'composite compo1234',
  ]);
});

test('the configuration travels in the text, and a policy reads the same from there', () => {
  const file = inlineCertificates({ path: 'p.yaml', text: `${HEAD}  gitleaks: { file: gitleaks.toml }\n` }, () => TOML);
  assert.doesNotMatch(file.text, /file:/);
  const { manifests, problems } = parseManifests([file]);
  assert.deepEqual(problems, []);
  assert.equal(ownOf(manifests)?.length, 3);
});

test('mistakes are told at their place', () => {
  for (const [spec, expected] of [
    ["customDetectors: [{ name: a, pattern: '(' }]", /p\.yaml:14:21: /],
    ["customDetectors: [{ name: a, pattern: '(?=x)' }]", /look/],
    ['customDetectors: [{ name: email, pattern: x }]', /`email` is the name of a built-in detector/],
    ['customDetectors: [{ name: a, pattern: x, secretGroup: 1 }]', /names group 1, but its pattern has 0/],
    ['customDetectors: [{ name: a, pattern: x, entropy: 9 }]', /`entropy` must be a number from 0 to 8/],
    ['customDetectors: [{ name: a, patern: x }]', /unknown field `patern`; did you mean `pattern`\?/],
    ['customDetectors: [{ name: a, pattern: x }, { name: a, pattern: y }]', /two detectors are called `a`/],
    ['detectors: [emial]', /p\.yaml:14:15: .*`emial`; did you mean `email`\?/],
    ['detectors: [my-ky]\n  customDetectors: [{ name: my-key, pattern: x }]', /did you mean `my-key`\?/],
    ['gitleaks: { value: "x = [" }', /no usable gitleaks configuration/],
    ['gitleaks: { value: "x = 1" }', /it has no \[\[rules\]\]/],
    ['gitleaks: { file: a, value: b }', /exactly one/],
  ] as const) {
    const { problems } = parsed(`  ${spec}\n`, { a: 'x' });
    assert.ok(problems.length > 0, spec);
    assert.match(problems.map(problemText).join('\n'), expected, spec);
  }
});
