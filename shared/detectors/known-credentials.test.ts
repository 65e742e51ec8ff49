import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../errors.ts';
import { compileDetectors, type DetectorSet } from './engine.ts';
import { fingerprintCredential, knownCredentials, knownCredentialsFromValues } from './known-credentials.ts';

const secret = "t0p+s3cret/ü pass'word";
const key = new Uint8Array(32).fill(3);
const byFingerprint = compileDetectors(['known-credentials'], {
  known: knownCredentials(
    JSON.parse(JSON.stringify({ key: Buffer.from(key).toString('base64'), fingerprints: [fingerprintCredential(secret, key)] })),
  ),
});
const byValue = compileDetectors(['known-credentials'], { known: knownCredentialsFromValues([secret]) });

function remains(set: DetectorSet, text: string): string {
  const bytes = Buffer.from(text);
  let rest = '';
  let at = 0;
  for (const span of set.scan(bytes, 0, bytes.length)) {
    assert.equal(span.detector, 'known-credentials');
    rest += bytes.subarray(at, span.start).toString();
    at = span.end;
  }
  return rest + bytes.subarray(at).toString();
}

const raw = Buffer.from(secret);
const encodings: [string, string][] = [
  ['raw', secret],
  ['URL-encoded', encodeURIComponent(secret)],
  ['URL-encoded in lower case', encodeURIComponent(secret).replace(/%../g, c => c.toLowerCase())],
  ['JSON', JSON.stringify(secret).slice(1, -1)],
  ['hex', raw.toString('hex')],
  ['hex in upper case', raw.toString('hex').toUpperCase()],
  ['base64', raw.toString('base64')],
  ['base64url', raw.toString('base64url')],
];

for (const [name, set] of [
  ['by fingerprint', byFingerprint],
  ['by value', byValue],
] as const) {
  test(`finds a credential ${name} in every encoding, at every alignment`, () => {
    for (const [encoding, form] of encodings) {
      for (let pad = 0; pad < 9; pad++) {
        const left = 'x'.repeat(pad);
        const rest = remains(set, `${left} ${form} y`);
        assert.ok(rest.length <= left.length + 5, `${encoding}: ${rest}`);
      }
    }
  });

  test(`finds a credential ${name} inside of a longer base64 text`, () => {
    for (let before = 0; before < 6; before++) {
      for (let after = 0; after < 4; after++) {
        const inner = Buffer.concat([Buffer.alloc(before, 1), raw, Buffer.alloc(after, 2)]);
        for (const form of [inner.toString('base64'), inner.toString('base64url')]) {
          const spans = set.scan(Buffer.from(form), 0, form.length);
          assert.equal(spans.length, 1, form);
          const uncovered = form.slice(0, spans[0]?.start) + form.slice(spans[0]?.end);
          assert.ok(uncovered.length <= Math.ceil((before * 8) / 6) + Math.ceil((after * 8) / 6) + 2, uncovered);
        }
      }
    }
  });

  test(`${name}: other text does not match, wire buffers do when the credential is in them`, () => {
    assert.equal(
      remains(set, 'an ordinary sentence, and t0p+s3cret/ without its end'),
      'an ordinary sentence, and t0p+s3cret/ without its end',
    );
    const wire = Buffer.concat([Buffer.from([68, 0, 0, 0, 40, 0, 1, 0, 0, 0, raw.length]), raw, Buffer.from([67, 0, 0, 0, 4])]);
    assert.ok(set.mightMatch(wire, 0, wire.length));
    assert.ok(!set.mightMatch(wire, 0, 20));
  });
}

test('short credentials have no fingerprint', () => {
  assert.deepEqual(fingerprintCredential('seven77', key).forms, []);
  assert.equal(fingerprintCredential('eight888', key).forms.length, 5);
});

test('a fingerprint under another key does not match', () => {
  const other = compileDetectors(['known-credentials'], {
    known: knownCredentials({ key: Buffer.alloc(32, 9).toString('base64'), fingerprints: [fingerprintCredential(secret, key)] }),
  });
  assert.equal(other.scanText(secret).length, 0);
});

test('a list of another shape is refused', () => {
  for (const json of [
    {},
    { key: 'AAAA', fingerprints: [] },
    { key: Buffer.alloc(32).toString('base64'), fingerprints: [{ forms: [{ length: 4 }] }] },
    'x',
  ]) {
    assert.throws(
      () => knownCredentials(json),
      (error: unknown) => error instanceof GatewayError && error.code === 'KNOWN_CREDENTIALS_INVALID',
    );
  }
  assert.equal(knownCredentials(undefined).fingerprints, undefined);
});
