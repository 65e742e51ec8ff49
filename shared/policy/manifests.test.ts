import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { GatewayError } from '../errors.ts';
import { manifestFields, type ParseOptions, parseManifests, problemText } from './manifests.ts';
import type { FieldDescription } from './schema.ts';

const PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
const everyKind = readFileSync(new URL('fixtures/every-kind.yaml', import.meta.url), 'utf8');

function parse(text: string, options: ParseOptions = {}) {
  return parseManifests([{ path: 'm.yaml', text }], options);
}

/** `line:column: message` of each problem. */
function problemsOf(text: string, options: ParseOptions = {}): string[] {
  return parse(text, options).problems.map(problem => problemText(problem).replace('m.yaml:', ''));
}

function warningsOf(text: string): string[] {
  const { problems, warnings } = parse(text);
  assert.deepEqual(problems, []);
  return warnings.map(warning => problemText(warning).replace('m.yaml:', ''));
}

const credential = '---\nkind: Credential\nmetadata: { name: app }\nspec: { username: app, password: { env: APP_PASSWORD } }\n';
const resource = (extra = '', address = '127.0.0.1:5432') =>
  `kind: Resource\nmetadata: { name: crm }\nspec:\n  protocol: postgres\n  upstream: { address: "${address}" }\n  credential: app\n${extra}`;
const role = (spec: string) => `kind: Role\nmetadata: { name: r }\nspec: ${spec}\n`;
const guard = (rule: string) => `kind: Guard\nmetadata: { name: g }\nspec:\n  resources: {}\n  rules:\n    - ${rule}\n`;
const data = (spec: string) => `kind: DataPolicy\nmetadata: { name: d }\nspec: { resources: {}, ${spec} }\n`;
const provider = (oidc: string) => `kind: IdentityProvider\nmetadata: { name: p }\nspec: { oidc: { ${oidc} } }\n`;

test('every kind, as the design writes it, is valid and gets its defaults', () => {
  const asked: string[][] = [];
  const { manifests, problems, warnings } = parse(everyKind, {
    readFile: (path, from) => {
      asked.push([path, from]);
      return PEM;
    },
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(warnings, []);
  assert.deepEqual(asked, [['ca.pem', 'm.yaml']]);
  assert.deepEqual(
    manifests.map(({ kind, name }) => `${kind}/${name}`),
    [
      'Resource/crm',
      'Credential/crm-app',
      'IdentityProvider/corp',
      'ServiceAccount/billing-bot',
      'Role/support',
      'Guard/sql-safety',
      'DataPolicy/customer-pii',
      'AuditPolicy/default',
      'AccessPolicy/operations',
    ],
  );
  assert.deepEqual(manifests[0], {
    kind: 'Resource',
    name: 'crm',
    labels: { env: 'prod' },
    spec: {
      protocol: 'postgres',
      upstream: { address: '127.0.0.1:5432', database: 'crm', tls: { mode: 'verify-full', ca: PEM } },
      agents: { labels: { network: 'prod-eu' } },
      listen: '127.0.0.1:15432',
      credential: 'crm-app',
      unknown: 'deny',
    },
  });
  assert.deepEqual(manifests[4]?.spec, {
    members: { groups: ['support'], serviceAccounts: ['billing-bot'], principals: [] },
    resources: { names: ['crm'], labels: { env: 'prod' } },
    when: "principal.kind == 'person' || now.getHours('UTC') < 6",
    session: { maxDurationMs: 3_600_000, idleTimeoutMs: 600_000 },
    budget: { rows: 100_000, bytes: 50_000_000, perMs: 86_400_000 },
  });
  assert.deepEqual(manifests[7]?.spec, { resources: {}, durability: 'strict', responses: 'head', headBytes: 65_536 });
});

/** [what, text, problems] */
const wrong: [string, string, string[]][] = [
  [
    'unknown field, nearest name',
    'kind: Credential\nmetadata: { name: app }\nspec: { username: app, passwrd: { env: X } }\n',
    ['3:24: unknown field `passwrd`; did you mean `password`?'],
  ],
  [
    'unknown field of IAM, nearest name',
    'kind: Credential\nmetadata: { name: app }\nspec: { username: app, awsRdsIam: { regoin: eu-central-1 } }\n',
    ['3:35: `awsRdsIam` has no `region`', '3:37: unknown field `regoin`; did you mean `region`?'],
  ],
  [
    'a password beside IAM',
    'kind: Credential\nmetadata: { name: app }\nspec: { username: app, password: { env: X }, awsRdsIam: { region: eu-central-1 } }\n',
    ['3:7: the credential has `password` and `awsRdsIam`: each is in place of the other'],
  ],
  [
    'a user name beside Vault’s',
    'kind: Credential\nmetadata: { name: app }\nspec: { username: app, vaultDatabase: { role: crm } }\n',
    ['3:7: `username` means nothing with `vaultDatabase`: Vault makes the user'],
  ],
  [
    'roles of sessions by a user of Vault’s',
    'kind: Credential\nmetadata: { name: app }\nspec: { vaultDatabase: { role: crm }, dynamic: { grants: [reader] } }\n',
    ['3:7: `dynamic` means nothing with `vaultDatabase`: Vault makes the user'],
  ],
  [
    'unknown field, nothing near',
    'kind: Credential\nmetadata: { name: app }\nspec: { username: app, password: { env: X }, zzz: 1 }\n',
    ['3:46: unknown field `zzz`; known here: `username`, `password`, `awsRdsIam`, `vaultDatabase`, `privateKey`, `certificate`, `dynamic`'],
  ],
  [
    'unknown top-level field',
    'kind: Credential\nmetdata: { name: app }\nspec: { username: app, password: { env: X } }\n',
    ['1:1: the manifest has no `metadata`', '2:1: unknown field `metdata`; did you mean `metadata`?'],
  ],
  ['unknown kind', 'kind: Resorce\nmetadata: { name: a }\nspec: {}\n', ['1:7: unknown kind `Resorce`; did you mean `Resource`?']],
  [
    'kind of Object.prototype',
    'kind: constructor\nmetadata: { name: a }\nspec: {}\n',
    [
      '1:7: unknown kind `constructor`; known: `Resource`, `Credential`, `IdentityProvider`, `ServiceAccount`, `Role`, `Guard`, `DataPolicy`, `AuditPolicy`, `AccessPolicy`, `Channel`',
    ],
  ],
  ['wrong version', `apiVersion: sallyport.dev/v2\n${credential.slice(4)}`, ['1:13: `apiVersion` must be `sallyport.dev/v1`']],
  ['no manifest', '- a\n- b\n', ['1:1: a manifest must be a mapping with `kind`, `metadata` and `spec`']],
  [
    'bad name',
    credential.replace('name: app', 'name: App_1').slice(4),
    ['2:19: `name` is no valid name: `App_1`; use up to 63 lower-case letters, digits and dashes, with a letter or digit at both ends'],
  ],
  [
    'name that YAML takes for a number',
    credential.replace('name: app', 'name: 123').slice(4),
    ['2:19: `name` must be text, not a number; put it in quotes'],
  ],
  ['wrong type', role('{ members: [support], resources: {} }'), ['3:18: `members` must be a mapping, not a list']],
  ['no value', role('{ members: { groups: [a] }, resources: }'), ['3:35: `resources` has no value; it must be a mapping']],
  [
    'missing fields, several at once',
    'kind: Resource\nmetadata: {}\nspec:\n  protocol: mysql\n',
    [
      '2:11: `metadata` has no `name`',
      '4:3: `spec` has no `upstream`',
      '4:3: `spec` has no `credential`',
      '4:13: `protocol` cannot be `mysql`; write one of `postgres`, `ssh`',
    ],
  ],
  ['bad enum value', resource('  unknown: dney\n') + credential, ['7:12: `unknown` cannot be `dney`; did you mean `deny`?']],
  [
    'bad duration',
    role('{ members: { groups: [a] }, resources: {}, session: { maxDuration: 1hour } }'),
    ['3:74: `maxDuration` is not a duration: `1hour`; write it like `1h30m`'],
  ],
  [
    'duration without a unit',
    role('{ members: { groups: [a] }, resources: {}, session: { maxDuration: 60 } }'),
    ['3:74: `maxDuration` needs a unit, such as `1h30m`'],
  ],
  [
    'duration out of range',
    role('{ members: { groups: [a] }, resources: {}, session: { idleTimeout: 5ms } }'),
    ['3:74: `idleTimeout` is out of range: `5ms`'],
  ],
  [
    'bad size',
    role('{ members: { groups: [a] }, resources: {}, budget: { bytes: 50 megs } }'),
    ['3:67: `bytes` is not a size: `50 megs`; write it like `50MB`'],
  ],
  ['empty budget', role('{ members: { groups: [a] }, resources: {}, budget: { per: 1h } }'), ['3:7: `budget` needs `rows` or `bytes`']],
  [
    'nobody',
    role('{ members: {}, resources: {} }'),
    ['3:7: `members` names nobody; give `groups`, `serviceAccounts` or `principals`, or `requests`'],
  ],
  ['empty list', role('{ members: { groups: [a] }, resources: { names: [] } }'), ['3:55: `names` must have at least one entry']],
  ['the same twice in a list', role('{ members: { groups: [a, b, a] }, resources: {} }'), ['3:35: `groups` has `a` twice']],
  [
    'bad label',
    role('{ members: { groups: [a] }, resources: { labels: { "-x": a, env: "a b" } } }'),
    [
      '3:58: `-x` in `labels` is no valid label; use letters, digits, `.`, `_`, `/` and `-`, with a letter or digit at both ends',
      '3:72: `labels.env` is no valid label value: `a b`',
    ],
  ],
  [
    'label __proto__',
    role('{ members: { groups: [a] }, resources: { labels: { __proto__: a } } }'),
    ['3:58: `__proto__` in `labels` is no valid label; use letters, digits, `.`, `_`, `/` and `-`, with a letter or digit at both ends'],
  ],
  ['duplicate name', `${credential}${credential}`, ['7:19: there is already a Credential called `app`, in m.yaml, line 3']],
  [
    'duplicate key',
    'kind: Credential\nkind: Credential\nmetadata: { name: app }\nspec: { username: app, password: { env: X } }\n',
    ['2:1: `kind` is given twice; first in line 1'],
  ],
  [
    'merge key',
    'kind: Credential\nmetadata: { name: app }\nspec: { <<: { username: app }, password: { env: X } }\n',
    ['3:9: merge keys (`<<`) are not supported; write the fields out'],
  ],
  [
    'tag',
    'kind: Credential\nmetadata: { name: !!binary aGk= }\nspec: { username: app, password: { env: X } }\n',
    ['2:28: tags are not supported (`tag:yaml.org,2002:binary`)'],
  ],
  ['YAML error', 'kind: "Credential\n', ['2:1: not readable as YAML: Missing closing "quote']],
  [
    'CEL that does not parse',
    role('{ members: { groups: [a] }, resources: {}, when: "principal.kind ==" }'),
    ['3:74: `when`: the condition is not valid CEL: unexpected token: EOF'],
  ],
  [
    'CEL with an unknown name',
    role('{ members: { groups: [a] }, resources: {}, when: "user.kind == 1" }'),
    ['3:57: `when`: the condition is not valid CEL: unknown variable: user'],
  ],
  [
    'CEL with an unknown field',
    role('{ members: { groups: [a] }, resources: {}, when: "principal.kid == \'x\'" }'),
    ['3:67: `when`: the condition is not valid CEL: no such key: kid'],
  ],
  [
    'CEL of another type',
    role('{ members: { groups: [a] }, resources: {}, when: "principal.name" }'),
    ['3:57: `when`: the condition must be true or false (bool); this one is string'],
  ],
  [
    'CEL with types that do not fit',
    role('{ members: { groups: [a] }, resources: {}, when: principal.kind == 1 }'),
    ['3:56: `when`: the condition is not valid CEL: no such overload: string == int'],
  ],
  [
    'facts in a role',
    role('{ members: { groups: [a] }, resources: {}, when: facts.writes }'),
    ['3:56: `when`: the condition is not valid CEL: unknown variable: facts; facts are known only to guard rules'],
  ],
  [
    'bad regular expression',
    guard('{ name: x, match: {}, when: "principal.name.matches(\'(a\')", action: deny }'),
    ['6:36: `when`: `matches` has a bad pattern: error parsing regexp: missing closing ): `(a`'],
  ],
  [
    'look-ahead',
    guard('{ name: x, match: {}, when: "principal.name.matches(\'(?=a)\')", action: deny }'),
    ['6:36: `when`: `matches` has a bad pattern: error parsing regexp: invalid or unsupported Perl syntax: `(?=`'],
  ],
  [
    'unknown time zone',
    guard('{ name: x, match: {}, when: "now.getHours(\'Mars/Base\') > 1", action: deny }'),
    ['6:36: `when`: unknown time zone "Mars/Base"; write a name such as "UTC" or "Europe/Berlin", or an offset such as "+02:00"'],
  ],
  [
    'unknown statement',
    guard('{ name: x, match: { statements: [drop, trunkate] }, action: deny }'),
    ['6:46: `statements` has no statement `trunkate`; did you mean `truncate`?'],
  ],
  ['unknown detector', data('detectors: [emial]'), ['3:36: `detectors` has no detector `emial`; did you mean `email`?']],
  [
    'unknown mask',
    data('columns: [{ match: a.b.c, action: mask, as: partal }]'),
    ['3:68: `as` cannot be `partal`; did you mean `partial`?'],
  ],
  ['mask kind on a denied column', data('columns: [{ match: a.b.c, action: deny, as: hash }]'), ['3:34: `as` belongs to `action: mask`']],
  [
    'bad pattern',
    data('columns: [{ match: customers.email, action: deny }]'),
    ['3:43: `match`: `customers.email` has 2 parts; write it as `schema.table.column`'],
  ],
  [
    'pattern with an empty part',
    guard('{ name: x, match: { objects: ["public."] }, action: deny }'),
    ['6:37: `objects`: `public.` has an empty part'],
  ],
  [
    'pattern with a broken quote',
    guard("{ name: x, match: { objects: ['public.\"a'] }, action: deny }"),
    ['6:37: `objects`: `public."a` has a double quote that is not closed or stands inside a name'],
  ],
  [
    'allow for a wildcard',
    data('columns: [{ match: "a.b.*", action: allow }]'),
    ['3:34: `allow` needs one column without `*`, not `a.b.*`'],
  ],
  ['empty policy', data('exempt: { groups: [x] }'), ['3:7: the policy protects nothing; give `columns` or `detectors`']],
  [
    'predicates that hold without approval',
    data('columns: [{ match: a.b.c, action: mask, predicates: hold }]'),
    ['3:7: `predicates: hold` needs `approval`, which says who releases the command'],
  ],
  [
    'hold without approval',
    guard('{ name: x, match: {}, action: hold }'),
    ['6:7: rule `x` holds but has no `approval`, which says who releases the command'],
  ],
  [
    'approval without hold',
    guard('{ name: x, match: {}, action: deny, approval: { from: { groups: [dba] } } }'),
    ['6:7: rule `x` has an `approval` but does not hold'],
  ],
  [
    'approval from nobody',
    guard('{ name: x, match: {}, action: hold, approval: { from: { groups: [] } } }'),
    ['6:71: `groups` must have at least one entry'],
  ],
  [
    'quorum',
    guard('{ name: x, match: {}, action: hold, approval: { from: { groups: [dba] }, quorum: 0 } }'),
    ['6:88: `quorum` must be a whole number from 1 to 20'],
  ],
  [
    'two rules of one name',
    `${guard('{ name: x, match: {}, action: deny }')}    - { name: x, match: {}, action: deny }\n`,
    ['4:3: two rules are called `x`'],
  ],
  [
    'message of two lines',
    guard('{ name: x, match: {}, action: deny, message: "a\\nb" }'),
    ['6:52: `message` must be one line without control characters'],
  ],
  [
    'unknown credential',
    `${resource()}${credential.replace('name: app ', 'name: app2 ')}`,
    ['6:15: there is no Credential called `app`; did you mean `app2`?'],
  ],
  [
    'unknown hold without approval',
    resource('  unknown: hold\n') + credential,
    ['4:3: `unknown: hold` needs `approval`, which says who releases the command'],
  ],
  [
    'address without a port',
    resource('', 'db.internal') + credential,
    ['5:24: `address` is no address: `db.internal`; write it as `host:port`'],
  ],
  [
    'address that is a URL',
    resource('', 'postgres://db:5432') + credential,
    ['5:24: `address` is no address: `postgres://db:5432`; write it as `host:port`'],
  ],
  [
    'port 0',
    resource('  listen: 127.0.0.1:0\n') + credential,
    ['7:11: `listen` needs a port other than 0; leave the field out for any free port'],
  ],
  [
    'two listeners in one place',
    `${resource('  listen: 127.0.0.1:6000\n')}---\n${resource('  listen: 127.0.0.1:6000\n').replace('name: crm', 'name: erp')}${credential}`,
    ['15:11: `127.0.0.1:6000` is already where Resource `crm` listens'],
  ],
  [
    'plain http issuer',
    provider('issuer: "http://idp.example", audiences: [a]'),
    ['3:25: `issuer` must be an `https:` URL; `http:` is accepted on loopback only'],
  ],
  [
    'http issuer that only looks like loopback',
    provider('issuer: "http://127.0.0.1.example.com", audiences: [a]'),
    ['3:25: `issuer` must be an `https:` URL; `http:` is accepted on loopback only'],
  ],
  [
    'http issuer with loopback as the user',
    provider('issuer: "http://localhost@idp.example", audiences: [a]'),
    ['3:25: `issuer` must be an `https:` URL; `http:` is accepted on loopback only'],
  ],
  ['no audience', provider('issuer: "https://idp.example", audiences: []'), ['3:59: `audiences` must have at least one entry']],
  [
    'HMAC',
    provider('issuer: "https://idp.example", audiences: [a], algorithms: [HS256]'),
    ['3:77: `algorithms` cannot be `HS256`; did you mean `RS256`?'],
  ],
  [
    'alg none',
    provider('issuer: "https://idp.example", audiences: [a], algorithms: [none]'),
    [
      '3:77: `algorithms` cannot be `none`; write one of `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `ES512`, `EdDSA`',
    ],
  ],
  [
    'secret as text',
    'kind: Credential\nmetadata: { name: a }\nspec: { username: u, password: hunter2 }\n',
    ['3:32: `password` must be a mapping, not text'],
  ],
  [
    'secret in two ways',
    'kind: Credential\nmetadata: { name: a }\nspec: { username: u, password: { env: A, file: b } }\n',
    ['3:32: a secret needs exactly one of `env`, `file`, `value`, `vault`, `awsSecret`; 2 are given'],
  ],
  [
    'secret in no way',
    'kind: Credential\nmetadata: { name: a }\nspec: { username: u, password: {} }\n',
    ['3:32: a secret needs exactly one of `env`, `file`, `value`, `vault`, `awsSecret`'],
  ],
  [
    'secret that is a number',
    'kind: Credential\nmetadata: { name: a }\nspec: { username: u, password: { value: 271828 } }\n',
    ['3:41: `value` must be text, not a number; put it in quotes'],
  ],
];

for (const [what, text, expected] of wrong) {
  test(`refused: ${what}`, () => assert.deepEqual(problemsOf(text), expected));
}

test('no message about a secret shows it', () => {
  for (const [, text] of wrong) for (const message of problemsOf(text)) assert.doesNotMatch(message, /hunter2|271828/);
});

test('warnings', () => {
  assert.deepEqual(warningsOf('kind: Credential\nmetadata: { name: a }\nspec: { username: u, password: { value: hunter2 } }\n'), [
    '3:32: the secret is written in the manifest; use `env` or `file` instead',
  ]);
  assert.deepEqual(warningsOf(role('{ members: { groups: [a], serviceAccounts: [bot] }, resources: { names: [cmr] } }')), [
    '3:51: there is no ServiceAccount called `bot`',
    '3:80: there is no Resource called `cmr`',
  ]);
  assert.deepEqual(
    warningsOf(`${resource()}${credential}---\n${role('{ members: { groups: [a] }, resources: { labels: { env: prod } } }')}`),
    ['14:46: no Resource matches this selector, so it applies to nothing'],
  );
  assert.deepEqual(warningsOf(data('columns: [{ match: public.Customers.email, action: deny }]')), [
    '3:43: `public.Customers.email` has capital letters, so it matches only names that were created in double quotes',
  ]);
  const tls = (mode: string) => resource('', 'db.internal:5432').replace('5432" }', `5432", tls: { mode: ${mode} } }`) + credential;
  assert.deepEqual(warningsOf(tls('disable')), [
    '4:3: `tls.mode: disable` lets others on the way to db.internal:5432 read along; use verify-full',
  ]);
  assert.deepEqual(warningsOf(tls('require')), [
    '4:3: `tls.mode: require` lets others on the way to db.internal:5432 pose as the resource; use verify-full',
  ]);
  assert.deepEqual(warningsOf(tls('verify-full')), []);
});

test('references may point to what is in force already', () => {
  const { manifests } = parse(credential);
  assert.deepEqual(problemsOf(resource(), { existing: manifests }), []);
  assert.deepEqual(problemsOf(resource(), { existing: 'unknown' }), [], 'whoever cannot say what there is judges no reference');
  assert.equal(problemsOf(resource(), { existing: [] }).length, 1);
  assert.match(problemsOf(resource())[0] ?? '', /no Credential called `app`; add one/);
});

test('references are not checked while manifests are missing for their own problems', () => {
  assert.deepEqual(problemsOf(`${resource()}${credential.replace('username: app, ', '')}`), ['10:7: `spec` has no `username`']);
});

test('the gateway’s own environment is no source of credentials', () => {
  const own = credential.replace('APP_PASSWORD', 'SALLYPORT_STORE_PASSWORD');
  assert.deepEqual(problemsOf(own), ['4:41: `env` must not begin with `SALLYPORT_`; those are the gateway’s own']);
});

test('two providers with one issuer, two accounts for one workload', () => {
  const p = provider('issuer: "https://idp.example", audiences: [a]');
  assert.deepEqual(problemsOf(`${p}---\n${p.replace('name: p', 'name: q')}`), ['7:25: IdentityProvider `p` already has this issuer']);
  const account = (name: string) =>
    `kind: ServiceAccount\nmetadata: { name: ${name} }\nspec: { trusts: [{ issuer: "https://ci.example", subject: s }] }\n`;
  assert.deepEqual(problemsOf(`${account('a')}---\n${account('b')}`), ['7:18: ServiceAccount `a` already trusts this issuer and subject']);
});

test('a trust by claims: one value or several, and never of everybody', () => {
  const account = (trust: string) =>
    `kind: ServiceAccount\nmetadata: { name: a }\nspec: { trusts: [{ issuer: "https://ci.example", ${trust} }] }\n`;
  const { manifests, problems } = parse(account('claims: { repository: acme/billing, "kubernetes.io.namespace": [a, b] }'));
  assert.deepEqual(problems, []);
  const [manifest] = manifests;
  assert.ok(manifest?.kind === 'ServiceAccount' && 'trusts' in manifest.spec);
  assert.deepEqual(manifest.spec.trusts[0]?.claims, { repository: ['acme/billing'], 'kubernetes.io.namespace': ['a', 'b'] });
  for (const nobody of ['audience: x', 'claims: {}']) {
    assert.match(problemsOf(account(nobody)).join(), /the trust is of everybody at the issuer; give `subject`, `claims` or both/);
  }
  assert.match(problemsOf(account('claims: { repository: [] }')).join(), /at least|one/);
  assert.match(problemsOf(account('claims: { __proto__: x }')).join(), /no name of a claim/);
  const twice = problemsOf(`${account('claims: { a: b }')}---\n${account('claims: { a: b }').replace('name: a', 'name: b')}`);
  assert.deepEqual(twice, ['7:18: ServiceAccount `a` already trusts this issuer and subject with the same claims']);
});

test('a postgres resource needs a credential with a password, whichever of the two is applied', () => {
  const [key, password] = ['privateKey: { env: K }', 'password: { env: P }'].map(
    secret => `kind: Credential\nmetadata: { name: c }\nspec: { username: u, ${secret} }\n`,
  );
  const crm = (protocol: string) =>
    `kind: Resource\nmetadata: { name: crm }\nspec: { protocol: ${protocol}, upstream: { address: "127.0.0.1:5432", tls: { mode: disable } }, credential: c }\n`;
  const says = 'Credential `c` has no `password`, which Resource `crm` (postgres) needs';
  assert.deepEqual(problemsOf(`${crm('postgres')}---\n${key}`), [`3:106: ${says}`]);
  assert.deepEqual(problemsOf(`${crm('postgres')}---\n${password}`), []);
  const inForce = parse(`${crm('postgres')}---\n${password}`).manifests;
  const changed = parseManifests([{ path: 'm.yaml', text: key ?? '' }], { existing: inForce, readFile: () => '' });
  assert.deepEqual(
    changed.problems.map(({ message }) => message),
    [says],
  );
});

test('tokens of IAM are for postgres, over a connection that knows who answers', () => {
  const iam = 'kind: Credential\nmetadata: { name: c }\nspec: { username: u, awsRdsIam: { region: eu-central-1 } }\n';
  const on = (protocol: string, mode: string) =>
    problemsOf(
      `kind: Resource\nmetadata: { name: crm }\nspec: { protocol: ${protocol}, upstream: { address: "127.0.0.1:5432", tls: { mode: ${mode} } }, credential: c }\n---\n${iam}`,
    ).join();
  assert.equal(on('postgres', 'verify-full'), '');
  for (const mode of ['disable', 'require']) assert.match(on('postgres', mode), /`c` is for tokens of IAM .*`tls\.mode: verify-full`/);
  assert.match(on('ssh', 'verify-full'), /`c` is `awsRdsIam`, which Resource `crm` \(ssh\) cannot be/);
});

test('an http issuer on loopback is fine', () => {
  for (const host of ['127.0.0.1:8080', 'localhost', '[::1]:9000']) {
    assert.deepEqual(problemsOf(provider(`issuer: "http://${host}/realm", audiences: [a]`)), []);
  }
});

test('a mask may be the unquoted word null', () => {
  const { manifests, problems } = parse(data('columns: [{ match: a.b.c, action: mask, as: null, predicates: { equality: allow } }]'));
  assert.deepEqual(problems, []);
  const [manifest] = manifests;
  assert.ok(manifest?.kind === 'DataPolicy' && 'columns' in manifest.spec);
  assert.deepEqual(manifest.spec.columns, [
    { match: 'a.b.c', action: 'mask', as: 'null', predicates: { equality: 'allow', other: 'record' } },
  ]);
});

test('certificates: read through the caller, checked, never a key', () => {
  const text = (ca: string) => resource('').replace('127.0.0.1:5432" }', `127.0.0.1:5432", tls: { ca: ${ca} } }`) + credential;
  assert.match(problemsOf(text('{ file: ca.pem }'))[0] ?? '', /a file cannot be read here/);
  const missing = () => {
    throw Object.assign(new Error('ENOENT: /secret/path'), { code: 'ENOENT' });
  };
  assert.deepEqual(problemsOf(text('{ file: ca.pem }'), { readFile: missing }), ['5:53: cannot read `ca.pem`: there is no such file']);
  const refused = () => {
    throw new GatewayError('SECRET_MISSING', 'denied', 'it is not a plain file');
  };
  assert.deepEqual(problemsOf(text('{ file: ca.pem }'), { readFile: refused }), ['5:53: cannot read `ca.pem`: it is not a plain file']);
  assert.match(problemsOf(text('{ file: ca.pem }'), { readFile: () => 'root:x:0:0' })[0] ?? '', /holds no PEM certificate/);
  assert.match(problemsOf(text('{ file: ca.pem }'), { readFile: () => `${PEM}-----BEGIN PRIVATE KEY-----` })[0] ?? '', /private key/);
  assert.deepEqual(problemsOf(text('{ file: ca.pem }'), { readFile: () => PEM }), []);
});

test('problems of several files come in the order of the files', () => {
  const bad = 'kind: Nope\nmetadata: { name: a }\nspec: {}\n';
  const { problems } = parseManifests([
    { path: 'b.yaml', text: bad },
    { path: 'a.yaml', text: bad },
  ]);
  assert.deepEqual(
    problems.map(problem => problem.file),
    ['b.yaml', 'a.yaml'],
  );
});

test('empty files and documents are fine', () => {
  for (const text of ['', '\n', '# nothing\n', '---\n---\n', '---\n# a\n---\n'])
    assert.deepEqual(parse(text), { manifests: [], problems: [], warnings: [] });
});

test('aliases are followed, with the positions of what they stand for', () => {
  const text = `${guard('{ name: x, match: { statements: &s [drop] }, action: deny }')}    - { name: y, match: { statements: *s }, action: hold, approval: { from: { groups: [a] } } }\n`;
  assert.deepEqual(problemsOf(text), []);
});

test('the table of fields comes from the same schema', () => {
  const names = (fields: readonly FieldDescription[] | undefined): string[] => (fields ?? []).map(field => field.name);
  const spec = (kind: Parameters<typeof manifestFields>[0]) => manifestFields(kind).find(field => field.name === 'spec')?.value.fields;
  assert.deepEqual(names(spec('Credential')), [
    'username',
    'password',
    'awsRdsIam',
    'vaultDatabase',
    'privateKey',
    'certificate',
    'dynamic',
  ]);
  const [, password] = spec('Credential') ?? [];
  assert.deepEqual(names(password?.value.fields), ['env', 'file', 'value', 'vault', 'awsSecret']);
  const rules = spec('Guard')?.find(field => field.name === 'rules')?.value.items?.fields;
  const action = rules?.find(field => field.name === 'action');
  assert.deepEqual(action?.value.values, ['allow', 'deny', 'hold']);
  assert.equal(action?.required, true);
  const responses = spec('AuditPolicy')?.find(field => field.name === 'responses');
  assert.deepEqual([responses?.required, responses?.default], [false, 'head']);
});
