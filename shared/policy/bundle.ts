/**
 * The lease's payload: all an agent needs to serve its resources with the control plane gone. Plain JSON, signed as bytes.
 */
import type { DirectoryGroup } from '../identity/directory-groups.ts';
import type { AccessGrant } from './access-grants.ts';
import type { AuditPolicySpec, DataPolicySpec, GuardSpec, OidcProviderSpec, ResourceSpec, RoleSpec, ServiceAccountSpec } from './model.ts';

/** A JSON Web Key, public members only. */
export type PublicJwk = Record<string, unknown> & { kty: string; kid?: string };

export interface LeaseBundle {
  version: number; // rises with every change; the control log's position
  agentId: string;
  issuedAt: string; // ISO 8601
  expiresAt: string;
  tickets: { issuer: string; keys: PublicJwk[] }; // Sallyport's own ticket issuer
  /** Every key that may sign leases, raw Ed25519, base64; absent: the one that the agent got when it joined. */
  leaseKeys?: string[];
  identityProviders: Named<OidcProviderSpec>[];
  serviceAccounts: Named<ServiceAccountSpec>[];
  resources: (Named<ResourceSpec> & { labels: Record<string, string> })[]; // only those that this agent serves
  roles: Named<RoleSpec>[];
  guards: Named<GuardSpec>[];
  dataPolicies: Named<DataPolicySpec>[];
  auditPolicies: Named<AuditPolicySpec>[];
  /** credential name → sealed JSON `{username, password, privateKey?, authorityKey?}` (shared/crypto/seal.ts), base64. */
  credentials: Record<string, string>;
  /** resource name → sealed private key (PEM) of the user's own serving certificate, or of an ssh resource's host key, base64. */
  servingKeys: Record<string, string>;
  /** Fingerprints of every credential that the control plane holds (shared/detectors/known-credentials.ts). */
  knownCredentials: unknown;
  /** Sealed 32-byte key for `hash` and `fake` masks, base64: resource name → key. Stable per resource. */
  maskKeys: Record<string, string>;
  revokedTokens: string[];
  /** Persons, by name in lower case, whom a directory has taken out: no token lets them in. Absent: nobody. */
  blockedPeople?: string[];
  /** Groups of which a directory decides, whatever tokens say; absent: none. */
  directoryGroups?: DirectoryGroup[];
  /** Roles that were given for a time; absent: none. */
  grants?: AccessGrant[];
  /** X25519 key of the control plane, base64, to which keys of contents are sealed (shared/crypto/contents.ts); absent: there is none. */
  contentKey?: { id: string; publicKey: string };
  /** Base URL of the control plane's console, for people; absent: not known. */
  console?: string;
  /** Public keys by which people and service accounts sign in where a resource says `publicKeys: registered`; absent: none. */
  sshKeys?: LeasedSshKey[];
  /** Absent when no resource speaks SSH. */
  ssh?: {
    /** Blob of the authority whose user certificates count, base64. */
    userAuthority: string;
    /** resource → certificate of its host key, base64. */
    hostCertificates: Record<string, string>;
  };
}

export interface Named<Spec> {
  name: string;
  spec: Spec;
}

/** A registered public key, and whose it is. */
export interface LeasedSshKey {
  /** Of the registration; it stands where tokens have their id. */
  id: string;
  /** Base64. */
  blob: string;
  /** Of a service account, whose groups are its manifest's. */
  kind: 'person' | 'workload';
  name: string;
  issuer: string;
  subject: string;
  expiresAtMs: number;
  /** The groups of a person's last sign-in, and how long they count; absent: nothing is known of it, or not any more. */
  signIn?: { groups: readonly string[]; untilMs: number };
  /** A directory has the person, and they are active there. */
  inDirectory?: true;
}
