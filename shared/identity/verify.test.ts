import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { test } from 'node:test';
import type { PublicJwk } from '../policy/bundle.ts';
import { repeatsName } from './jws.ts';
import { personOf, VerifyContext, type VerifyOptions, verifyToken } from './verify.ts';

const NOW = 1_800_000_000;
const ISSUER = 'https://idp.example';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const otherRsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });
const ed = generateKeyPairSync('ed25519');
const ticketKey = generateKeyPairSync('ed25519');

const jwk = (key: KeyObject, more: object): PublicJwk => ({ ...key.export({ format: 'jwk' }), ...more }) as PublicJwk;
const KEYS = [
  jwk(rsa.publicKey, { kid: 'rsa', alg: 'RS256', use: 'sig' }),
  jwk(rsa.publicKey, { kid: 'rsa-any' }),
  jwk(p256.publicKey, { kid: 'p256' }),
  jwk(p384.publicKey, { kid: 'p384' }),
  jwk(ed.publicKey, { kid: 'ed' }),
];

const b64 = (value: unknown): string => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
type Signer = (input: Buffer) => Buffer;
const RS256: Signer = input => sign('sha256', input, rsa.privateKey);
const ES256: Signer = input => sign('sha256', input, { key: p256.privateKey, dsaEncoding: 'ieee-p1363' });

function token(claims: unknown, header: unknown = { alg: 'RS256', kid: 'rsa' }, signer: Signer = RS256): string {
  const input = `${b64(header)}.${b64(claims)}`;
  return `${input}.${signer(Buffer.from(input)).toString('base64url')}`;
}

const GOOD = {
  iss: ISSUER,
  sub: 'u1',
  email: 'ann@example.com',
  aud: 'sallyport',
  exp: NOW + 300,
  iat: NOW - 10,
  groups: ['support'],
  jti: 't1',
};

function context(options: VerifyOptions & { keys?: PublicJwk[] | null } = {}): VerifyContext {
  const result = new VerifyContext({ now: () => NOW * 1000, keysWaitMs: 5, ...options });
  result.useLease({
    tickets: { issuer: 'sallyport', keys: [jwk(ticketKey.publicKey, { kid: 'tk', alg: 'EdDSA' })] },
    identityProviders: [
      {
        name: 'corp',
        spec: {
          oidc: {
            issuer: ISSUER,
            audiences: ['sallyport', 'other-name'],
            subjectClaim: 'email',
            groupsClaim: 'groups',
            algorithms: ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'],
            clockSkewMs: 30_000,
          },
        },
      },
      {
        name: 'nested',
        spec: {
          oidc: {
            issuer: 'https://nested.example',
            audiences: ['sallyport'],
            subjectClaim: 'sub',
            groupsClaim: 'realm.access.roles',
            algorithms: ['RS256'],
            clockSkewMs: 0,
          },
        },
      },
    ],
    serviceAccounts: [
      { name: 'billing-bot', spec: { groups: ['bots'], trusts: [{ issuer: ISSUER, subject: 'svc-1' }] } },
      { name: 'ci', spec: { groups: ['ci'], trusts: [{ issuer: ISSUER, subject: 'svc-2', audience: 'ci-audience' }] } },
      { name: 'builds', spec: { groups: ['ci'], trusts: [{ issuer: 'https://ci.example', subject: 'repo:acme/x' }] } },
      { name: 'twin-a', spec: { groups: [], trusts: [{ issuer: ISSUER, subject: 'twin' }] } },
      { name: 'twin-b', spec: { groups: [], trusts: [{ issuer: ISSUER, subject: 'twin' }] } },
    ],
    revokedTokens: ['revoked-by-lease'],
  });
  if (options.keys !== null) {
    result.useKeys(ISSUER, options.keys ?? KEYS);
    result.useKeys('https://nested.example', options.keys ?? KEYS);
    result.useKeys('https://ci.example', options.keys ?? KEYS);
  }
  return result;
}

const shared = context();
async function code(text: string, from: VerifyContext = shared): Promise<string> {
  const result = await verifyToken(text, from);
  if (result.ok) return `ok ${result.principal.kind} ${result.principal.name} [${result.principal.groups.join()}]`;
  assert.ok(result.reason.length > 10);
  return result.code;
}

const ANN = 'ok person ann@example.com [support]';

test('a good token of every algorithm on the list', async () => {
  assert.deepEqual(await verifyToken(token(GOOD), shared), {
    ok: true,
    principal: { kind: 'person', name: 'ann@example.com', issuer: ISSUER, subject: 'u1', groups: ['support'], delegation: [] },
    tokenId: 't1',
    expiresAtMs: (NOW + 300) * 1000,
  });
  const pss: Signer = input => sign('sha256', input, { key: rsa.privateKey, padding: 6, saltLength: 32 });
  assert.equal(await code(token(GOOD, { alg: 'PS256', kid: 'rsa-any' }, pss)), ANN);
  assert.equal(await code(token(GOOD, { alg: 'ES256', kid: 'p256', typ: 'at+jwt' }, ES256)), ANN);
  assert.equal(
    await code(
      token(GOOD, { alg: 'ES384', kid: 'p384' }, input => sign('sha384', input, { key: p384.privateKey, dsaEncoding: 'ieee-p1363' })),
    ),
    ANN,
  );
  assert.equal(await code(token(GOOD, { alg: 'EdDSA', kid: 'ed', typ: 'JWT' }, input => sign(null, input, ed.privateKey))), ANN);
});

test('unsigned, and signed with a public key as an HMAC secret', async () => {
  for (const alg of [
    'none',
    'None',
    'NONE',
    'nOnE',
    '',
    null,
    ['RS256'],
    'HS256',
    'HS512',
    'RSA-OAEP',
    'rs256',
    '__proto__',
    'constructor',
  ]) {
    for (const kid of ['rsa', undefined]) {
      const header = kid === undefined ? { alg } : { alg, kid };
      assert.equal(await code(`${b64(header)}.${b64(GOOD)}.${b64('x')}`), 'TOKEN_ALG_REFUSED');
    }
  }
  assert.equal(await code(`${b64({ alg: 'none' })}.${b64(GOOD)}.`), 'TOKEN_ALG_REFUSED');
  for (const secret of [rsa.publicKey.export({ format: 'pem', type: 'spki' }), JSON.stringify(KEYS[0])]) {
    const hmac: Signer = input => createHmac('sha256', secret).update(input).digest();
    assert.equal(await code(token(GOOD, { alg: 'HS256', kid: 'rsa' }, hmac)), 'TOKEN_ALG_REFUSED');
    assert.equal(await code(token(GOOD, { alg: 'RS256', kid: 'rsa' }, hmac)), 'TOKEN_SIGNATURE');
  }
});

test('a symmetric or weak key in the key set is no key', async () => {
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const odd: PublicJwk[] = [
    { kty: 'oct', k: b64('secret'), kid: 'oct' },
    jwk(weak.publicKey, { kid: 'weak' }),
    jwk(rsa.publicKey, { kid: 'enc', use: 'enc' }),
    jwk(rsa.publicKey, { kid: 'ops', key_ops: ['encrypt'] }),
    jwk(rsa.publicKey, { kid: 'hs', alg: 'HS256' }),
    { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA', kid: 'bad' },
    { kty: 'RSA', kid: 'empty' },
  ];
  const from = context({ keys: odd });
  assert.equal(
    await code(
      token(GOOD, { alg: 'RS256', kid: 'weak' }, input => sign('sha256', input, weak.privateKey)),
      from,
    ),
    'TOKEN_KEY_UNKNOWN',
  );
  for (const kid of ['oct', 'enc', 'ops', 'hs', 'bad', 'empty']) {
    assert.equal(await code(token(GOOD, { alg: 'RS256', kid }), from), 'TOKEN_KEY_UNKNOWN', kid);
  }
});

test('an algorithm that the key is not for', async () => {
  assert.equal(await code(token(GOOD, { alg: 'ES256', kid: 'p384' }, ES256)), 'TOKEN_KEY_UNKNOWN');
  assert.equal(await code(token(GOOD, { alg: 'ES256', kid: 'rsa' }, ES256)), 'TOKEN_KEY_UNKNOWN');
  assert.equal(
    await code(token(GOOD, { alg: 'PS256', kid: 'rsa' }, input => sign('sha256', input, { key: rsa.privateKey, padding: 6 }))),
    'TOKEN_KEY_UNKNOWN',
  );
  assert.equal(
    await code(token(GOOD, { alg: 'RS512', kid: 'rsa-any' }, input => sign('sha512', input, rsa.privateKey))),
    'TOKEN_ALG_REFUSED',
  );
  // A DER signature where the specification wants r and s.
  assert.equal(await code(token(GOOD, { alg: 'ES256', kid: 'p256' }, input => sign('sha256', input, p256.privateKey))), 'TOKEN_SIGNATURE');
  assert.equal(await code(token(GOOD, { alg: 'ES256', kid: 'p256' }, () => Buffer.alloc(64))), 'TOKEN_SIGNATURE');
});

test('keys that the token brings along are not looked at', async () => {
  const forged: Signer = input => sign('sha256', input, otherRsa.privateKey);
  const own = jwk(otherRsa.publicKey, { kid: 'own' });
  for (const more of [{ jwk: own }, { jku: 'https://evil.example/jwks' }, { x5u: 'https://evil.example/x' }, { x5c: ['AAAA'] }]) {
    assert.equal(await code(token(GOOD, { alg: 'RS256', kid: 'rsa', ...more }, forged)), 'TOKEN_SIGNATURE');
    assert.equal(await code(token(GOOD, { alg: 'RS256', kid: 'own', ...more }, forged)), 'TOKEN_KEY_UNKNOWN');
    assert.equal(await code(token(GOOD, { alg: 'RS256', kid: 'rsa', ...more })), ANN, 'harmless when the signature is good');
  }
});

test('key ids are compared, never used', async () => {
  for (const kid of ['../../etc/passwd', "' OR 1=1 --", 'rsa\u0000', 'RSA', '', '__proto__']) {
    assert.equal(await code(token(GOOD, { alg: 'RS256', kid })), 'TOKEN_KEY_UNKNOWN', kid);
  }
  for (const kid of [1, null, {}, ['rsa'], 'x'.repeat(513)])
    assert.equal(await code(token(GOOD, { alg: 'RS256', kid })), 'TOKEN_MALFORMED');
});

test('without a key id only a single fitting key is taken', async () => {
  assert.equal(await code(token(GOOD, { alg: 'RS256' })), 'TOKEN_KEY_UNKNOWN');
  assert.equal(await code(token(GOOD, { alg: 'ES256' }, ES256)), ANN);
});

test('headers that change the meaning are refused', async () => {
  for (const more of [{ crit: ['exp'] }, { crit: [] }, { b64: false }, { b64: true }, { zip: 'DEF' }, { enc: 'A128GCM' }]) {
    assert.equal(await code(token(GOOD, { alg: 'RS256', kid: 'rsa', ...more })), 'TOKEN_HEADER_REFUSED');
  }
  for (const typ of ['logout+jwt', 'dpop+jwt', 'secevent+jwt', 'JOSE+JSON', 7, null]) {
    assert.equal(await code(token(GOOD, { alg: 'RS256', kid: 'rsa', typ })), 'TOKEN_TYPE_REFUSED');
  }
  const input = `${b64({ alg: 'RS256', kid: 'rsa', b64: false, crit: ['b64'] })}.${JSON.stringify(GOOD)}`;
  assert.equal(await code(`${input}.${RS256(Buffer.from(input)).toString('base64url')}`), 'TOKEN_MALFORMED');
});

test('a changed signature, payload or header', async () => {
  const good = token(GOOD);
  const [header = '', payload = '', signature = ''] = good.split('.');
  const flipped = Buffer.from(signature, 'base64url');
  flipped[10] = (flipped[10] ?? 0) ^ 1;
  assert.equal(await code(`${header}.${payload}.${flipped.toString('base64url')}`), 'TOKEN_SIGNATURE');
  assert.equal(await code(`${header}.${b64({ ...GOOD, groups: ['admin'] })}.${signature}`), 'TOKEN_SIGNATURE');
  assert.equal(await code(`${b64({ alg: 'RS256', kid: 'rsa-any' })}.${payload}.${signature}`), 'TOKEN_SIGNATURE');
  assert.equal(
    await code(token(GOOD, { alg: 'RS256', kid: 'rsa' }, input => sign('sha256', input, otherRsa.privateKey))),
    'TOKEN_SIGNATURE',
  );
});

test('times', async () => {
  const at = (more: object) => code(token({ ...GOOD, ...more }));
  assert.equal(await at({ exp: NOW - 31 }), 'TOKEN_EXPIRED');
  assert.equal(await at({ exp: NOW - 30 }), 'TOKEN_EXPIRED');
  assert.equal(await at({ exp: NOW - 29 }), ANN);
  assert.equal(await at({ exp: 0 }), 'TOKEN_EXPIRED');
  assert.equal(await at({ iat: NOW + 31 }), 'TOKEN_NOT_YET_VALID');
  assert.equal(await at({ iat: NOW + 29 }), ANN);
  assert.equal(await at({ nbf: NOW + 31 }), 'TOKEN_NOT_YET_VALID');
  assert.equal(await at({ nbf: NOW + 29 }), ANN);
  for (const wrong of [undefined, null, String(NOW + 300), [NOW + 300], 1e300, { now: 1 }])
    assert.equal(await at({ exp: wrong }), 'TOKEN_CLAIMS');
  for (const wrong of [null, String(NOW), []]) {
    assert.equal(await at({ iat: wrong }), 'TOKEN_CLAIMS');
    assert.equal(await at({ nbf: wrong }), 'TOKEN_CLAIMS');
  }
});

test('issuer and audience match exactly', async () => {
  const at = (more: object) => code(token({ ...GOOD, ...more }));
  for (const iss of [
    'https://idp.example/',
    'https://IDP.example',
    'https://evil.example',
    'sallyport2',
    undefined,
    '',
    ['https://idp.example'],
    {},
  ]) {
    assert.equal(await at({ iss }), 'TOKEN_ISSUER_UNKNOWN', JSON.stringify(iss));
  }
  assert.equal(await at({ aud: 'other-name' }), ANN);
  assert.equal(await at({ aud: ['x', 'sallyport'] }), ANN);
  for (const aud of ['sallyport2', 'Sallyport', 'sally', [], [['sallyport']], undefined, null, { 0: 'sallyport' }, true]) {
    assert.equal(await at({ aud }), 'TOKEN_AUDIENCE');
  }
  // Good at one provider, shown as another's: the keys are another's too.
  const from = context({ keys: null });
  from.useKeys(ISSUER, KEYS);
  from.useKeys('https://nested.example', [jwk(otherRsa.publicKey, { kid: 'rsa' })]);
  assert.equal(await code(token({ ...GOOD, iss: 'https://nested.example' }), from), 'TOKEN_SIGNATURE');
});

test('names given twice are refused wherever they are', async () => {
  const twice = `{"iss":"${ISSUER}","sub":"u1","email":"a@b","aud":"sallyport","exp":${NOW + 300},"email":"admin@b"}`;
  assert.equal(await code(token(twice)), 'TOKEN_MALFORMED');
  assert.equal(await code(token(GOOD, `{"alg":"RS256","kid":"rsa","alg":"RS256"}`)), 'TOKEN_MALFORMED');
  assert.ok(repeatsName('{"a":1,"\\u0061":2}'));
  assert.ok(repeatsName(`{"a":1,"a"${' '.repeat(500)}:2}`));
  assert.ok(repeatsName('{"x":[{"y":{"b":1,"b":2}}]}'));
  assert.ok(!repeatsName('{"a":{"a":["a","a",{"a":"a\\"a"}]},"b":"a","c":[],"d":"\\\\"}'));
});

test('garbage of all kinds is refused, quickly, without an exception', async () => {
  const good = token(GOOD);
  for (const text of [
    '',
    '.',
    '..',
    '...',
    'abc',
    'a.b',
    'a.b.c',
    `${good}.`,
    `${good}.x`,
    `.${good}`,
    `${good}=`,
    ` ${good}`,
    `${good}\n`,
    good.replace('.', '..'),
    `${b64('null')}.${b64('1')}.AA`,
    `${b64('[]')}.${b64('{}')}.AA`,
    `${b64('{"alg":"RS256"}')}.${b64('{')}.AA`,
    '\u0000'.repeat(100),
    '😀.😀.😀',
    `${b64({ alg: 'RS256', kid: 'rsa' })}.${Buffer.from([0xff, 0xfe]).toString('base64url')}.AA`,
    `${b64('\ufeff{"alg":"RS256"}')}.${b64({})}.AA`,
  ]) {
    assert.equal(await code(text), 'TOKEN_MALFORMED', JSON.stringify(text).slice(0, 60));
  }
  assert.equal(await code('a'.repeat(16 * 1024 + 1)), 'TOKEN_TOO_LARGE');
  assert.equal(await code(token({ ...GOOD, pad: 'x'.repeat(13_000) })), 'TOKEN_TOO_LARGE');
  assert.equal(await code('.'.repeat(16_000)), 'TOKEN_MALFORMED');
  const deep = `${'{"a":'.repeat(1900)}1${'}'.repeat(1900)}`;
  assert.equal(await code(token(deep)), 'TOKEN_ISSUER_UNKNOWN');
  for (let cut = 0; cut < good.length - 1; cut++) assert.notEqual(await code(good.slice(0, cut)), ANN);
});

test('a base64url text that is not the canonical one is refused', async () => {
  const text = token(GOOD, { alg: 'ES256', kid: 'p256' }, ES256); // 64 bytes: the last character has four spare bits
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = alphabet.indexOf(text.at(-1) ?? '');
  assert.equal(await code(text.slice(0, -1) + alphabet[last ^ 1]), 'TOKEN_MALFORMED');
});

test('claims that name people and groups', async () => {
  const at = (more: object) => code(token({ ...GOOD, ...more }));
  assert.equal(await at({ groups: undefined }), 'ok person ann@example.com []');
  assert.equal(await at({ groups: 'dba' }), 'ok person ann@example.com [dba]');
  assert.equal(await at({ groups: ['dba', 'dba'] }), 'ok person ann@example.com [dba]');
  for (const groups of [[1], [''], { a: 1 }, 5, ['a\nb'], Array.from({ length: 1001 }, (_, i) => `${i}`)]) {
    assert.equal(await at({ groups }), 'TOKEN_CLAIMS');
  }
  for (const email of [undefined, '', null, 7, ['a'], 'a\u0000b', 'x'.repeat(257)]) assert.equal(await at({ email }), 'TOKEN_CLAIMS');
  for (const sub of [undefined, '', 5]) assert.equal(await at({ sub }), 'TOKEN_CLAIMS');
  assert.equal(await at({ email_verified: false }), 'TOKEN_EMAIL_UNVERIFIED');
  assert.equal(await at({ email_verified: true }), ANN);
  for (const jti of [5, '', {}, 'x'.repeat(300)]) assert.equal(await at({ jti }), 'TOKEN_CLAIMS');
  const nested = { ...GOOD, iss: 'https://nested.example' };
  assert.equal(await code(token({ ...nested, realm: { access: { roles: ['r1', 'r2'] } } })), 'ok person u1 [r1,r2]');
  assert.equal(await code(token({ ...nested, 'realm.access.roles': ['flat'] })), 'ok person u1 [flat]');
  assert.equal(await code(token({ ...nested, realm: ['access'] })), 'ok person u1 []');
  const anonymous = await verifyToken(token({ ...GOOD, jti: undefined }), shared);
  assert.ok(anonymous.ok && /^sha256:[0-9a-f]{32}$/.test(anonymous.tokenId));
});

test('groups by other claims: each value, those that count, with a prefix; a claim that is odd stands for none', () => {
  const oidc = {
    ...{ issuer: 'https://idp.example', audiences: [], algorithms: [], clockSkewMs: 0, subjectClaim: 'sub', groupsClaim: 'groups' },
    groupMappings: [
      { claim: 'realm_access.roles', prefix: 'kc:' },
      { claim: 'department', values: { '4711': 'finance', hr: 'people' } },
      { claim: 'admin', values: { true: 'platform' } },
    ],
  };
  const groups = (claims: object) => {
    const person = personOf({ sub: 's', ...claims }, oidc);
    return person.ok ? person.principal.groups : person.code;
  };
  assert.deepEqual(groups({ groups: ['a'], realm_access: { roles: ['x', 'y'] }, department: 4711, admin: true }), [
    'a',
    'kc:x',
    'kc:y',
    'finance',
    'platform',
  ]);
  assert.deepEqual(groups({ groups: 'a', realm_access: { roles: 'x' }, department: ['hr', 'other', 'toString'] }), ['a', 'kc:x', 'people']);
  assert.deepEqual(groups({ realm_access: { roles: { x: 1 } }, department: null, admin: false }), []);
  assert.equal(groups({ realm_access: { roles: ['bad\nname'] } }), 'TOKEN_CLAIMS');
  assert.equal(groups({ realm_access: { roles: Array.from({ length: 1000 }, (_, i) => `r${i}`) }, groups: ['a'] }), 'TOKEN_CLAIMS');
});

test('inherited properties are no claims', async () => {
  const from = context();
  from.useLease({
    tickets: { issuer: 'sallyport', keys: [] },
    identityProviders: [
      {
        name: 'p',
        spec: {
          oidc: {
            issuer: ISSUER,
            audiences: ['sallyport'],
            subjectClaim: 'constructor.name',
            groupsClaim: 'toString',
            algorithms: ['RS256'],
            clockSkewMs: 0,
          },
        },
      },
    ],
    serviceAccounts: [],
    revokedTokens: [],
  });
  assert.equal(await code(token(GOOD), from), 'TOKEN_CLAIMS');
});

test('a trusted subject is a workload in the groups of its account alone', async () => {
  const at = (more: object) => code(token({ ...GOOD, ...more }));
  assert.equal(await at({ sub: 'svc-1', groups: ['admins'] }), 'ok workload billing-bot [bots]');
  assert.equal(await at({ sub: 'svc-1', email: undefined }), 'ok workload billing-bot [bots]');
  assert.equal(await at({ sub: 'svc-2' }), 'TOKEN_AUDIENCE');
  assert.equal(await at({ sub: 'svc-2', aud: 'ci-audience' }), 'ok workload ci [ci]');
  assert.equal(await at({ sub: 'twin' }), 'TOKEN_SUBJECT_AMBIGUOUS');
  assert.equal(await at({ email: 'svc-1' }), 'ok person svc-1 [support]', 'only `sub` is matched, never the subject claim');
  assert.equal(
    await code(token({ ...GOOD, iss: 'https://nested.example', sub: 'svc-1' })),
    'ok person svc-1 [support]'.replace('support', ''),
  );
});

test('who acts for whom', async () => {
  const of = async (act: unknown) => {
    const result = await verifyToken(token({ ...GOOD, act }), shared);
    return result.ok ? result.principal.delegation.join(' < ') : result.code;
  };
  assert.equal(await of({ sub: 'agent-1' }), 'agent-1');
  assert.equal(await of({ sub: 'outer', act: { sub: 'inner', act: { sub: 'innermost' } } }), 'outer < inner < innermost');
  for (const act of [null, 'x', [], {}, { sub: 1 }, { sub: 'a', act: 'b' }]) assert.equal(await of(act), 'TOKEN_CLAIMS');
  let deep: object = { sub: 'x' };
  for (let i = 0; i < 8; i++) deep = { sub: 'x', act: deep };
  assert.equal(await of(deep), 'TOKEN_CLAIMS');
});

const TICKET = {
  iss: 'sallyport',
  aud: 'resource:crm',
  sub: 'u1',
  name: 'ann@example.com',
  kind: 'person',
  groups: ['support'],
  oiss: ISSUER,
  jti: 'ticket-1',
  iat: NOW,
  exp: NOW + 900,
};
const TH = { alg: 'EdDSA', kid: 'tk' };
const ticketSigner: Signer = input => sign(null, input, ticketKey.privateKey);

test('a ticket opens one resource', async () => {
  assert.deepEqual(await verifyToken(token({ ...TICKET, act: { sub: 'bot' } }, TH, ticketSigner), shared), {
    ok: true,
    principal: { kind: 'person', name: 'ann@example.com', issuer: ISSUER, subject: 'u1', groups: ['support'], delegation: ['bot'] },
    tokenId: 'ticket-1',
    expiresAtMs: (NOW + 900) * 1000,
    ticketResource: 'crm',
  });
  const at = (more: object) => code(token({ ...TICKET, ...more }, TH, ticketSigner));
  for (const aud of ['crm', 'resource:', ['resource:crm'], 'sallyport', undefined]) assert.equal(await at({ aud }), 'TOKEN_AUDIENCE');
  assert.equal(await at({ exp: NOW }), 'TOKEN_EXPIRED', 'no grace');
  assert.equal(await at({ exp: NOW + 3700 }), 'TOKEN_LIFETIME');
  assert.equal(await at({ iat: NOW + 60 }), 'TOKEN_NOT_YET_VALID');
  for (const name of ['sub', 'name', 'kind', 'oiss', 'jti', 'exp']) assert.equal(await at({ [name]: undefined }), 'TOKEN_CLAIMS', name);
  assert.equal(await at({ kind: 'admin' }), 'TOKEN_CLAIMS');
  assert.equal(await at({ groups: 5 }), 'TOKEN_CLAIMS');
});

test('nobody but the control plane makes tickets', async () => {
  assert.equal(await code(token(TICKET)), 'TOKEN_ALG_REFUSED');
  assert.equal(await code(token(TICKET, { alg: 'EdDSA', kid: 'ed' }, input => sign(null, input, ed.privateKey))), 'TOKEN_KEY_UNKNOWN');
  assert.equal(await code(token(TICKET, TH, input => sign(null, input, ed.privateKey))), 'TOKEN_SIGNATURE');
  assert.equal(
    await code(token({ ...TICKET, iss: ISSUER }, TH, ticketSigner)),
    'TOKEN_KEY_UNKNOWN',
    'nor are ticket keys good for an issuer',
  );
  const from = context();
  from.useKeys('sallyport', KEYS);
  assert.equal(
    await code(
      token(TICKET, { alg: 'EdDSA', kid: 'ed' }, input => sign(null, input, ed.privateKey)),
      from,
    ),
    'TOKEN_KEY_UNKNOWN',
  );
});

test('revocation counts at once, also for a token that is cached, and outlives an older lease', async () => {
  const from = context();
  assert.equal(await code(token({ ...GOOD, jti: 'revoked-by-lease' }), from), 'TOKEN_REVOKED');
  const text = token(TICKET, TH, ticketSigner);
  assert.match(await code(text, from), /^ok/);
  from.revoke(['ticket-1']);
  assert.equal(await code(text, from), 'TOKEN_REVOKED');
  from.useLease({
    tickets: { issuer: 'sallyport', keys: [jwk(ticketKey.publicKey, { kid: 'tk' })] },
    identityProviders: [],
    serviceAccounts: [],
    revokedTokens: [],
  });
  assert.equal(await code(text, from), 'TOKEN_REVOKED');
});

test('a cached token expires, and goes with its key, its provider or its account', async () => {
  let now = NOW;
  const from = context({ now: () => now * 1000 });
  const text = token(GOOD);
  assert.equal(await code(text, from), ANN);
  assert.equal(await code(text, from), ANN);
  now = NOW + 331;
  assert.equal(await code(text, from), 'TOKEN_EXPIRED');
  now = NOW;
  assert.equal(await code(text, from), ANN);
  from.useKeys(ISSUER, [jwk(otherRsa.publicKey, { kid: 'rsa' })]);
  assert.equal(await code(text, from), 'TOKEN_SIGNATURE');
  from.useKeys(ISSUER, KEYS);
  assert.equal(await code(text, from), ANN);
  from.useLease({ tickets: { issuer: 'sallyport', keys: [] }, identityProviders: [], serviceAccounts: [], revokedTokens: [] });
  assert.equal(await code(text, from), 'TOKEN_ISSUER_UNKNOWN');
});

test('keys that change while a signature is checked: the old result is not kept', async () => {
  const from = context();
  const text = token(GOOD);
  const first = code(text, from);
  from.useKeys(ISSUER, [jwk(otherRsa.publicKey, { kid: 'rsa' })]);
  await first;
  assert.equal(await code(text, from), 'TOKEN_SIGNATURE');
});

test('the cache is bounded', async () => {
  const from = context();
  for (let i = 0; i < 5000; i++)
    from.remember(
      `d${i}`,
      {
        ok: true,
        principal: { kind: 'person', name: '', issuer: '', subject: '', groups: [], delegation: [] },
        tokenId: '',
        expiresAtMs: 0,
      },
      Infinity,
      from.generation,
    );
  assert.equal(from.cached('d0'), null);
  assert.equal(from.cached('d903'), null);
  assert.notEqual(from.cached('d904'), null);
});

test('a token with an unknown key waits for a fetch, once, and is accepted when the key comes', async () => {
  const asked: string[] = [];
  const from: VerifyContext = context({
    keys: null,
    keysWaitMs: 5000,
    onKeysMissing: issuer => {
      asked.push(issuer);
      setImmediate(() => from.useKeys(issuer, KEYS));
    },
  });
  assert.equal(await code(token(GOOD), from), ANN);
  assert.equal(await code(token(GOOD, { alg: 'RS256', kid: 'new' }), from), 'TOKEN_KEY_UNKNOWN');
  assert.deepEqual(asked, [ISSUER, ISSUER]);
  assert.equal(await code(token(GOOD), context({ keys: null })), 'TOKEN_KEYS_UNAVAILABLE');
});

test('a trusted subject of an issuer that is no identity provider is a workload, and nobody else of it is let in', async () => {
  const build = { ...GOOD, iss: 'https://ci.example', sub: 'repo:acme/x' };
  assert.equal(await code(token(build)), 'ok workload builds [ci]');
  assert.equal(await code(token({ ...build, sub: 'repo:acme/y' })), 'TOKEN_SUBJECT_UNTRUSTED');
  assert.equal(await code(token({ ...build, aud: 'elsewhere' })), 'TOKEN_AUDIENCE');
  assert.equal(await code(token({ ...build, iss: 'https://ci.example.evil' })), 'TOKEN_ISSUER_UNKNOWN');
});
