import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inlineCertificates } from './inline-certificates.ts';
import { parseManifests } from './manifests.ts';

const PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
const credential = '---\nkind: Credential\nmetadata: { name: app }\nspec: { username: app, password: { file: secret.txt } }\n';
const styles = {
  flow: 'kind: Resource\nmetadata: { name: crm }\nspec:\n  protocol: postgres\n  upstream: { address: 127.0.0.1:5432, tls: { ca: { file: ca.pem } } } # as it was\n  credential: app\n',
  block:
    'kind: Resource\nmetadata:\n  name: crm\nspec:\n  protocol: postgres\n  credential: app\n  upstream:\n    address: 127.0.0.1:5432\n    tls:\n      ca:\n        file: "ca.pem" # as it was\n  tls:\n    certificate:\n      file: ca.pem\n    key: { file: key.pem }\n',
};

for (const [style, text] of Object.entries(styles)) {
  test(`certificates are put in, ${style} style, lines unmoved, secrets untouched`, () => {
    const read: string[] = [];
    const readFile = (path: string, from: string) => {
      read.push(`${from}:${path}`);
      return PEM;
    };
    const file = { path: 'm.yaml', text: text + credential };
    const inlined = inlineCertificates(file, readFile);
    assert.ok(read.every(each => each === 'm.yaml:ca.pem'));
    assert.equal(inlined.text.split('\n').length, file.text.split('\n').length);
    assert.match(inlined.text, /# as it was/);
    assert.match(inlined.text, /secret\.txt/);
    const before = parseManifests([file], { readFile });
    const after = parseManifests([inlined]);
    assert.deepEqual(after.problems, []);
    assert.deepEqual(after.manifests, before.manifests);
  });
}

test('a list of certificates', () => {
  const text =
    'kind: IdentityProvider\nmetadata: { name: corp }\nspec:\n  saml:\n    issuer: i\n    entityId: e\n    signInUrl: "https://idp.example"\n    certificates:\n      - file: a.pem\n      - { file: b.pem }\n    decryptionKey: { file: key.pem }\n';
  const inlined = inlineCertificates({ path: 'm.yaml', text }, path => PEM.replace('AAAA', path === 'a.pem' ? 'AAAA' : 'BBBB'));
  const { problems, manifests } = parseManifests([inlined]);
  assert.deepEqual(problems, []);
  assert.deepEqual(manifests[0]?.spec, {
    saml: {
      ...{ issuer: 'i', entityId: 'e', signInUrl: 'https://idp.example', certificates: [PEM, PEM.replace('AAAA', 'BBBB')] },
      ...{ subjectAttribute: '', groupsAttribute: 'groups', clockSkewMs: 30_000, decryptionKey: { file: 'key.pem' } },
    },
  });
  const both = `${text}  oidc: { issuer: "https://idp.example", audiences: [a] }\n`;
  assert.match(
    JSON.stringify(parseManifests([inlineCertificates({ path: 'm.yaml', text: both }, path => PEM.replace('AAAA', path))]).problems),
    /exactly one of `oidc`, `saml`/,
  );
});

test('what has no certificates, or is not readable, stays as it is', () => {
  const readFile = () => assert.fail('nothing to read');
  for (const text of [
    credential,
    '',
    '- a',
    'kind: [',
    'kind: Resource\nspec: 5\n',
    'kind: Guard\nspec: { upstream: { tls: { ca: { file: x } } } }\n',
  ]) {
    assert.equal(inlineCertificates({ path: 'm.yaml', text }, readFile).text, text);
  }
});
