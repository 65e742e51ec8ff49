/**
 * What a sign-in costs an agent: a token verified offline with keys that are there, the role that admits its principal, and the policy of the
 * session, among 100 resources and 200 roles. Every token is another one, as for new sessions of different people; beside it in the same run
 * the bare signature check of node:crypto, and the same token once more, as for a reconnect. No network and no database.
 * `npm run -s bench:admission`.
 */
import { generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { POSTGRES_DEPTH } from '@sallyport/agent/postgres/depth.ts';
import { VerifyContext, verifyToken } from '@sallyport/shared/identity/verify.ts';
import type { PublicJwk } from '@sallyport/shared/policy/bundle.ts';
import { admit, sessionPolicy } from '@sallyport/shared/policy/decide.ts';
import { parseManifests } from '@sallyport/shared/policy/manifests.ts';
import type { Manifest, OidcProviderSpec } from '@sallyport/shared/policy/model.ts';
import { policyOf } from '@sallyport/shared/policy/policy-of.ts';
import { alternate, figure, median, table } from '../harness/figures.ts';

const ISSUER = 'https://idp.example';
const TICKETS = 'https://sallyport.example';
const ROUNDS = 5;
const TOKENS = 1000;
const TARGET_US = 100;

const keys = {
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: generateKeyPairSync('ed25519'),
};
type Algorithm = keyof typeof keys;
const jwk = (key: KeyObject, kid: string, alg: string): PublicJwk => ({ ...key.export({ format: 'jwk' }), kid, alg }) as PublicJwk;

const yaml = `
kind: IdentityProvider
metadata: { name: corp }
spec: { oidc: { issuer: "${ISSUER}", audiences: [sallyport], subjectClaim: email, groupsClaim: groups, algorithms: [RS256, ES256, EdDSA] } }
---
kind: Credential
metadata: { name: app }
spec: { username: app, password: { value: not-used-here } }
${Array.from(
  { length: 100 },
  (_, n) => `---
kind: Resource
metadata: { name: r${n}, labels: { env: ${n % 2 === 0 ? 'prod' : 'test'} } }
spec: { protocol: postgres, upstream: { address: "127.0.0.1:5432", tls: { mode: require } }, credential: app }
---
kind: Role
metadata: { name: read-${n} }
spec: { members: { groups: [team-${n}] }, resources: { names: [r${n}] }, when: "principal.kind == 'person'", session: { maxDuration: 1h } }
---
kind: Role
metadata: { name: all-${n} }
spec: { members: { groups: [sre-${n}] }, resources: { labels: { env: prod } } }
---
kind: Guard
metadata: { name: guard-${n} }
spec: { resources: { names: [r${n}] }, rules: [ { name: no-ddl, match: { statements: [drop, truncate] }, action: deny } ] }`,
).join('\n')}
`;
const parsed = parseManifests([{ path: 'bench.yaml', text: yaml }], { readFile: () => '' });
if (parsed.problems.length > 0) throw new Error(JSON.stringify(parsed.problems[0]));
const policy = policyOf(parsed.manifests);

const nowMs = Date.now();
const context = new VerifyContext({ now: () => nowMs });
context.useLease({
  tickets: { issuer: TICKETS, keys: [jwk(keys.EdDSA.publicKey, 'tk', 'EdDSA')] },
  identityProviders: parsed.manifests
    .filter((manifest): manifest is Manifest<'IdentityProvider'> => manifest.kind === 'IdentityProvider')
    .map(({ name, spec }) => ({ name, spec: spec as OidcProviderSpec })),
  serviceAccounts: [],
  revokedTokens: [],
});
context.useKeys(
  ISSUER,
  Object.entries(keys).map(([alg, { publicKey }]) => jwk(publicKey, alg, alg)),
);

let serial = 0;
function signedWith(algorithm: Algorithm, input: Buffer): Buffer {
  const { privateKey } = keys[algorithm];
  if (algorithm === 'EdDSA') return sign(null, input, privateKey);
  return sign('sha256', input, algorithm === 'ES256' ? { key: privateKey, dsaEncoding: 'ieee-p1363' } : privateKey);
}
interface Token {
  text: string;
  resource: string;
}
function tokenOf(algorithm: Algorithm): Token {
  const n = serial++;
  const b64 = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(nowMs / 1000) + 3600;
  const groups = [`team-${n % 100}`, 'everybody', 'engineering'];
  const claims = { iss: ISSUER, sub: `u${n}`, email: `u${n}@example.com`, aud: 'sallyport', exp, iat: exp - 3700, groups, jti: `t${n}` };
  const input = `${b64({ alg: algorithm, kid: algorithm, typ: 'JWT' })}.${b64(claims)}`;
  return { text: `${input}.${signedWith(algorithm, Buffer.from(input)).toString('base64url')}`, resource: `r${n % 100}` };
}

async function admitted({ text, resource }: Token): Promise<void> {
  const verified = await verifyToken(text, context);
  if (!verified.ok) throw new Error(verified.reason);
  const admission = admit(policy, verified.principal, resource, POSTGRES_DEPTH, new Date(nowMs));
  if (!admission.admitted) throw new Error(admission.reason);
  sessionPolicy(policy, verified.principal, resource);
}

function bareCheck({ text }: Token, algorithm: Algorithm): void {
  const dot = text.lastIndexOf('.');
  const { publicKey } = keys[algorithm];
  const signature = Buffer.from(text.slice(dot + 1), 'base64url');
  const key = algorithm === 'ES256' ? ({ key: publicKey, dsaEncoding: 'ieee-p1363' } as const) : publicKey;
  if (!verify(algorithm === 'EdDSA' ? null : 'sha256', Buffer.from(text.slice(0, dot)), key, signature)) throw new Error('not good');
}

/** CPU of the whole process, other threads included: the time that it takes on a machine that is not busy, on one that is too. */
const microsecondsEach = async (work: () => Promise<void>, count: number): Promise<number> => {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
};

for (const algorithm of Object.keys(keys) as Algorithm[]) {
  await admitted(tokenOf(algorithm)); // The first of a key.
  const subjects = [{ name: 'sallyport' }, { name: 'the same token again' }, { name: 'signature alone' }];
  const values = await alternate(subjects, ROUNDS, async ({ name }) => {
    const tokens = Array.from({ length: TOKENS }, () => tokenOf(algorithm));
    if (name === 'signature alone') {
      return microsecondsEach(async () => {
        for (const token of tokens) bareCheck(token, algorithm);
      }, TOKENS);
    }
    const [first] = tokens;
    if (first === undefined) throw new Error('no token');
    await admitted(first);
    const asked = name === 'sallyport' ? tokens.slice(1) : tokens.map(() => first);
    return microsecondsEach(async () => {
      for (const token of asked) await admitted(token);
    }, asked.length);
  });
  const of = (name: string) => median(values.get(name) ?? []);
  const one = { bench: 'admission', case: `token and admission, ${algorithm}`, unit: 'µs of CPU' };
  const value = of('sallyport');
  figure({
    ...{ ...one, subject: 'sallyport', value, ratios: { 'signature alone': value / of('signature alone') } },
    ...{ target: `under ${TARGET_US} µs`, met: value < TARGET_US },
  });
  figure({ ...one, subject: 'the same token again', value: of('the same token again') });
  figure({ ...one, subject: 'signature alone', value: of('signature alone') });
}
table();
