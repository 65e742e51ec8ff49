/**
 * A lease as parts under keys, so that a change of one object moves that object and not the bundle: `role/support`, `resource/crm`,
 * `credential/crm-app`. The shared half is the same for all agents that serve the same resources; the own half is what is sealed to one.
 *
 * A half is signed through its digest, which covers every key and every value: whoever holds the parts can check them all, and none can
 * be taken from another lease. Signing, sending and keeping are elsewhere.
 */
import { sha256 } from '../crypto/sha256.ts';
import { GatewayError } from '../errors.ts';
import type { DirectoryGroup } from '../identity/directory-groups.ts';
import type { LeaseBundle, LeasedSshKey } from './bundle.ts';

export type SharedContent = Omit<
  LeaseBundle,
  'version' | 'issuedAt' | 'expiresAt' | 'agentId' | 'credentials' | 'servingKeys' | 'maskKeys' | 'ssh'
> & { sshUserAuthority?: string };
export type OwnContent = Pick<LeaseBundle, 'credentials' | 'servingKeys' | 'maskKeys'> & { hostCertificates: Record<string, string> };

/** What is signed of a half. */
export interface PartsStatement {
  /** Which agents share: a digest of the names of the resources that they serve. */
  group: string;
  /** The control log's position when it was signed. */
  version: number;
  issuedAt: string; // ISO 8601
  expiresAt: string;
  /** Of all parts, hex. */
  digest: string;
}

/** Ed25519 is over one of these and the statement's bytes. */
export const SHARED_PREFIX = 'sallyport-lease-shared-v1\0';
export const OWN_PREFIX = 'sallyport-lease-own-v1\0';

/** A part whose key begins so may be ignored by whoever does not know it. Any other unknown part refuses the lease: it may restrict. */
const IGNORABLE = '~';
const SSH_KEY = `${IGNORABLE}ssh-key`;

/** List in the bundle → kind of its parts; each item is an object with a name. */
const LISTS = {
  identityProviders: 'identity-provider',
  serviceAccounts: 'service-account',
  resources: 'resource',
  roles: 'role',
  guards: 'guard',
  dataPolicies: 'data-policy',
  auditPolicies: 'audit-policy',
} as const;
const MAPS = { credentials: 'credential', servingKeys: 'serving-key', maskKeys: 'mask-key', hostCertificates: 'host-certificate' } as const;

const SINGLES: ReadonlySet<string> = new Set([
  'tickets',
  'known-credentials-key',
  'console',
  'content-key',
  'ssh-user-authority',
  'lease-keys',
]);

export function sharedParts(content: SharedContent): Map<string, unknown> {
  const parts = new Map<string, unknown>([['tickets', content.tickets]]);
  for (const [list, kind] of entries(LISTS)) for (const item of content[list]) parts.set(`${kind}/${item.name}`, item);
  const { key, fingerprints } = content.knownCredentials as { key: string; fingerprints: unknown[] };
  parts.set('known-credentials-key', key);
  // By what they are: other agents' credentials have no name here.
  for (const fingerprint of fingerprints) parts.set(`known-credential/${partHash(encodePart(fingerprint)).slice(0, 32)}`, fingerprint);
  for (const id of content.revokedTokens) parts.set(`revoked-token/${id}`, true);
  for (const name of content.blockedPeople ?? []) parts.set(`blocked-person/${name}`, true);
  for (const group of content.directoryGroups ?? []) parts.set(`directory-group/${group.name}`, group);
  for (const grant of content.grants ?? []) parts.set(`grant/${grant.approvalId}`, grant);
  // Who does not know of them lets nobody in by them.
  for (const key of content.sshKeys ?? []) parts.set(`${SSH_KEY}/${key.id}`, key);
  if (content.leaseKeys !== undefined) parts.set('lease-keys', content.leaseKeys);
  if (content.console !== undefined) parts.set('console', content.console);
  if (content.contentKey !== undefined) parts.set('content-key', content.contentKey);
  if (content.sshUserAuthority !== undefined) parts.set('ssh-user-authority', content.sshUserAuthority);
  return parts;
}

export function ownParts(content: OwnContent): Map<string, unknown> {
  const parts = new Map<string, unknown>();
  for (const [map, kind] of entries(MAPS)) for (const [name, value] of Object.entries(content[map])) parts.set(`${kind}/${name}`, value);
  return parts;
}

export function encodePart(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value), 'utf8');
}

/** SHA-256 of a part's value, hex. */
export function partHash(value: Uint8Array): string {
  return Buffer.from(sha256(value)).toString('hex');
}

/**
 * The digest that a half is signed through: SHA-256 over `key\n` and the hash of its value, in the order of the keys' code units.
 * @param hashes key → partHash of its value. A key holds no line break.
 * @returns hex.
 */
export function partsDigest(hashes: ReadonlyMap<string, string>): string {
  const lines = [...hashes].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, hash]) => `${key}\n${hash}\n`);
  return partHash(Buffer.from(lines.join(''), 'utf8'));
}

/**
 * Puts a bundle together.
 * @throws {GatewayError} LEASE_UNKNOWN_PART for what a newer control plane says and this agent does not understand; LEASE_MALFORMED.
 */
export function assembleBundle(
  shared: ReadonlyMap<string, unknown>,
  own: ReadonlyMap<string, unknown>,
  envelope: Pick<LeaseBundle, 'version' | 'agentId' | 'issuedAt' | 'expiresAt'>,
): LeaseBundle {
  const lists: Record<string, unknown[]> = {};
  for (const list of Object.keys(LISTS)) lists[list] = [];
  const singles: Record<string, unknown> = {};
  const fingerprints: unknown[] = [];
  const revokedTokens: string[] = [];
  const blockedPeople: string[] = [];
  const directoryGroups: DirectoryGroup[] = [];
  const grants: unknown[] = [];
  const sshKeys: LeasedSshKey[] = [];
  for (const [key, value] of sorted(shared)) {
    const { kind, name } = split(key);
    const list = listOfKind.get(kind);
    if (list !== undefined) {
      if ((value as { name?: unknown } | null)?.name !== name) throw malformed(key);
      lists[list]?.push(value);
    } else if (kind === 'known-credential') fingerprints.push(value);
    else if (kind === 'revoked-token') revokedTokens.push(name);
    else if (kind === 'blocked-person') blockedPeople.push(name);
    else if (kind === 'directory-group') directoryGroups.push(directoryGroupOf(key, name, value));
    else if (kind === 'grant') grants.push(value);
    else if (kind === SSH_KEY) sshKeys.push(sshKeyOf(key, name, value));
    else if (name === '' && SINGLES.has(kind)) singles[kind] = value;
    else if (!key.startsWith(IGNORABLE)) throw unknownPart(key);
  }
  const maps = { credentials: {}, servingKeys: {}, maskKeys: {}, hostCertificates: {} } as Record<string, Record<string, string>>;
  for (const [key, value] of sorted(own)) {
    const { kind, name } = split(key);
    const map = mapOfKind.get(kind);
    if (map === undefined) {
      if (!key.startsWith(IGNORABLE)) throw unknownPart(key);
    } else if (typeof value !== 'string') throw malformed(key);
    else Object.defineProperty(maps[map], name, { value, enumerable: true, configurable: true, writable: true });
  }
  const { tickets, 'ssh-user-authority': userAuthority, 'lease-keys': leaseKeys } = singles;
  if (leaseKeys !== undefined && !isKeyList(leaseKeys)) throw malformed('lease-keys');
  if (typeof tickets !== 'object' || tickets === null) throw malformed('tickets');
  const { hostCertificates = {}, ...sealed } = maps;
  const contentKey = singles['content-key'] as Partial<NonNullable<LeaseBundle['contentKey']>> | undefined;
  if (contentKey !== undefined && (typeof contentKey.id !== 'string' || typeof contentKey.publicKey !== 'string'))
    throw malformed('content-key');
  return {
    ...envelope,
    ...(lists as unknown as Pick<LeaseBundle, keyof typeof LISTS>),
    ...(sealed as unknown as Pick<LeaseBundle, 'credentials' | 'servingKeys' | 'maskKeys'>),
    tickets: tickets as LeaseBundle['tickets'],
    knownCredentials: { key: singles['known-credentials-key'], fingerprints },
    revokedTokens,
    ...(leaseKeys === undefined ? {} : { leaseKeys: leaseKeys as string[] }),
    ...(blockedPeople.length === 0 ? {} : { blockedPeople }),
    ...(directoryGroups.length === 0 ? {} : { directoryGroups }),
    ...(sshKeys.length === 0 ? {} : { sshKeys }),
    ...(grants.length === 0 ? {} : { grants: grants as NonNullable<LeaseBundle['grants']> }),
    ...(typeof singles.console === 'string' ? { console: singles.console } : {}),
    ...(contentKey === undefined ? {} : { contentKey: contentKey as NonNullable<LeaseBundle['contentKey']> }),
    ...(typeof userAuthority === 'string' && Object.keys(hostCertificates).length > 0 ? { ssh: { userAuthority, hostCertificates } } : {}),
  };
}

const listOfKind = new Map<string, string>(entries(LISTS).map(([list, kind]) => [kind, list]));
const mapOfKind = new Map<string, string>(entries(MAPS).map(([map, kind]) => [kind, map]));

function entries<Table extends Readonly<Record<string, string>>>(table: Table): [keyof Table & string, string][] {
  return Object.entries(table);
}

/** Raw Ed25519 keys in base64, at least one: an agent that trusts none could take no lease any more. */
function isKeyList(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(each => typeof each === 'string' && /^[A-Za-z0-9+/]{43}=$/.test(each));
}

function directoryGroupOf(key: string, name: string, value: unknown): DirectoryGroup {
  const { name: own, members } = (value ?? {}) as Partial<DirectoryGroup>;
  if (own !== name || !Array.isArray(members) || !members.every(each => typeof each === 'string')) throw malformed(key);
  return { name, members };
}

function sshKeyOf(key: string, name: string, value: unknown): LeasedSshKey {
  const { id, blob, kind, expiresAtMs } = (value ?? {}) as Partial<LeasedSshKey>;
  const isKind = kind === 'person' || kind === 'workload';
  if (id !== name || typeof blob !== 'string' || !isKind || typeof expiresAtMs !== 'number') throw malformed(key);
  return value as LeasedSshKey;
}

function sorted(parts: ReadonlyMap<string, unknown>): [string, unknown][] {
  return [...parts].sort(([a], [b]) => (a < b ? -1 : 1));
}

function split(key: string): { kind: string; name: string } {
  const slash = key.indexOf('/');
  return slash === -1 ? { kind: key, name: '' } : { kind: key.slice(0, slash), name: key.slice(slash + 1) };
}

function unknownPart(key: string): GatewayError {
  return new GatewayError(
    'LEASE_UNKNOWN_PART',
    'protocol',
    `the control plane says something with ${JSON.stringify(key)} that this agent does not understand: upgrade the agent. The lease before goes on until it ends.`,
  );
}

function malformed(key: string): GatewayError {
  return new GatewayError(
    'LEASE_MALFORMED',
    'protocol',
    `the lease cannot be read: its part ${JSON.stringify(key)} is not what it must be`,
  );
}
