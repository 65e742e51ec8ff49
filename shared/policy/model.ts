/**
 * The manifests' shapes after validation: what DESIGN.md's YAML becomes. Durations are milliseconds and sizes bytes here
 * (`1h` → 3_600_000, `50MB` → 50_000_000); optional fields with a default have it filled in.
 *
 * Parsing, validation and the nearest-name messages are in manifests.ts; this file has types only.
 */

import type { CustomDetector } from '../detectors/custom/definition.ts';
import type { ShellMatch } from '../shell/facts.ts';

export type Kind =
  | 'Resource'
  | 'Credential'
  | 'IdentityProvider'
  | 'ServiceAccount'
  | 'Role'
  | 'Guard'
  | 'DataPolicy'
  | 'AuditPolicy'
  | 'AccessPolicy'
  | 'Channel';

export interface Manifest<K extends Kind = Kind> {
  kind: K;
  name: string;
  labels: Record<string, string>;
  spec: SpecOf[K];
}

export interface SpecOf {
  Resource: ResourceSpec;
  Credential: CredentialSpec;
  IdentityProvider: IdentityProviderSpec;
  ServiceAccount: ServiceAccountSpec;
  Role: RoleSpec;
  Guard: GuardSpec;
  DataPolicy: DataPolicySpec;
  AuditPolicy: AuditPolicySpec;
  AccessPolicy: AccessPolicySpec;
  Channel: ChannelSpec;
}

/** Which resources something is about; all given must match, and an empty selector matches every resource. */
export interface ResourceSelector {
  names?: string[];
  labels?: Record<string, string>;
}

export interface ResourceSpec {
  protocol: 'postgres' | 'ssh';
  upstream: {
    address: string; // host:port
    database?: string;
    tls: { mode: 'disable' | 'require' | 'verify-full'; ca?: string; serverName?: string }; // ca: PEM, already read
    /** ssh: the host's keys, `type base64`; absent: the first that is seen is held. */
    hostKeys?: string[];
  };
  agents: { labels: Record<string, string> }; // {} matches every agent
  listen?: string; // host:port; absent: 127.0.0.1 and a free port
  credential: string;
  /** What happens to what cannot be resolved. */
  unknown: 'deny' | 'hold';
  /** Who releases it; present when `unknown` is `hold`. */
  approval?: ApprovalSpec;
  /** What happens to live sessions when the agent's lease ends; absent: `keep`. New ones are refused in any case. */
  onExpiry?: 'keep' | 'drain' | 'close';
  /** ssh: public keys that people have registered open sessions; absent: none does. */
  publicKeys?: 'registered';
  /** The certificate that clients see, instead of one from the control plane's CA. PEM, already read. */
  tls?: { certificate: string; key: SecretSource };
}

export type SecretSource = { env: string } | { file: string } | { value: string } | { vault: VaultSource } | { awsSecret: AwsSecretSource };

/** A field of a secret in Vault's or OpenBao's KV store, version 2. */
export interface VaultSource {
  mount: string; // default `secret`
  path: string;
  field: string; // default `password`
  version?: number; // absent: the newest
}

/** A secret of AWS Secrets Manager, or a field of one that is JSON. */
export interface AwsSecretSource {
  secretId: string; // name or ARN
  field?: string;
  region?: string; // absent: the control plane's
}

/** What the agent makes tokens for RDS's IAM authentication with. */
export interface AwsRdsIam {
  region: string;
  /** Absent: those of the agent's own machine, container or workload. */
  keys?: { accessKeyId: string; secretAccessKey: SecretSource };
}

/** A role of the database engine of Vault or OpenBao. */
export interface VaultDatabase {
  mount: string; // default `database`
  role: string;
}

/** How the agent logs in: by password, and for ssh by private key or by certificates that it issues for each session. */
export interface CredentialSpec {
  /** Absent where Vault makes the user. */
  username?: string;
  password?: SecretSource;
  /** postgres on RDS or Aurora: a token of IAM for each login, in place of a password. */
  awsRdsIam?: AwsRdsIam;
  /** postgres: a user that Vault makes and leases, name and password. */
  vaultDatabase?: VaultDatabase;
  /** PEM or OpenSSH's own format, without a passphrase. */
  privateKey?: SecretSource;
  /** Certificates of five minutes by an authority of this credential's own. */
  certificate?: boolean;
  /** postgres: each session gets a role of its own, a member of these and nothing else; `username` is who makes it. */
  dynamic?: { grants: string[] };
}

/** Exactly one of the two is given. */
export interface IdentityProviderSpec {
  oidc?: OidcSpec;
  saml?: SamlSpec;
}

/** An OpenID provider: the only kind whose tokens agents verify by themselves. */
export interface OidcProviderSpec {
  oidc: OidcSpec;
}

export interface OidcSpec {
  issuer: string;
  audiences: string[];
  subjectClaim: string; // default `sub`
  groupsClaim: string; // default `groups`; dots walk into nested claims
  /** Groups by other claims: a value becomes prefix + value, or only those of `values`, what they stand for. */
  groupMappings?: { claim: string; values?: Record<string, string>; prefix?: string }[];
  algorithms: string[]; // default RS256, PS256, ES256, ES384, EdDSA; never none, never HMAC
  clockSkewMs: number; // default 30 s
  /** Public client that `sallyport login` uses, and the console where it has none of its own. */
  clientId?: string;
  /** The console's own client at the provider. */
  console?: { clientId: string; clientSecret?: SecretSource; scopes: string[] };
}

/** A SAML 2.0 identity provider: people sign in to the console and the command line with it. */
export interface SamlSpec {
  /** Its entity id, letter by letter. */
  issuer: string;
  /** Where it takes the browser (HTTP-Redirect binding). */
  signInUrl: string;
  /** PEM certificates whose keys sign its assertions; several while it rotates. */
  certificates: string[];
  /** Our entity id at the provider. */
  entityId: string;
  /** Empty: the NameID names the person. */
  subjectAttribute: string;
  groupsAttribute: string;
  clockSkewMs: number;
  /** Private key (PEM) that encrypted assertions are for; with it, assertions that are not encrypted are refused. */
  decryptionKey?: SecretSource;
}

export interface ServiceAccountSpec {
  groups: string[];
  /** Each has a subject, claims (all must fit, dots walk into nested ones), or both. */
  trusts: { issuer: string; subject?: string; audience?: string; claims?: Record<string, string[]> }[];
  /** A workload that is this account may enrol agents, which get these labels. */
  joins?: { labels: Record<string, string>; networks?: string[] };
}

export interface RoleSpec {
  members: { groups: string[]; serviceAccounts: string[]; principals: string[] };
  resources: ResourceSelector;
  when?: string; // CEL → bool
  session: { maxDurationMs?: number; idleTimeoutMs?: number };
  budget?: { rows?: number; bytes?: number; perMs: number };
  /** Who may ask for the role for a time, and who gives it; absent: nobody may ask. */
  requests?: RoleRequests;
  /** What the role may do over SSH; absent: what RoleSsh says of each absent key. */
  ssh?: RoleSsh;
}

/** A role for a time: asked for by some, given by others. `approval.preview` means nothing here. */
export interface RoleRequests {
  by: { groups: string[] };
  approval: ApprovalSpec;
  maxDurationMs: number;
}

/** Where approvals are told, beside the console and the CLI. */
export interface ChannelSpec {
  /** Signed with the secret (control-plane/channels/signature.ts). One of `webhook` and `slack`. */
  webhook?: { url: string; secret: SecretSource };
  /** Messages with buttons; `url` is the API's, with a slash at its end. */
  slack?: { channel: string; token: SecretSource; signingSecret: SecretSource; url: string };
  /** Only approvals that one of these answers; absent: all. */
  groups?: string[];
}

/** What a role may do over SSH beside commands (`exec`), which are always possible where the role admits. */
export interface RoleSsh {
  /** Interactive shells; absent: `governed` for persons, `off` for workloads. */
  shell?: 'off' | 'governed' | 'recorded';
  /** Accounts of the host that may be asked for with `account+RESOURCE`, beside the credential's own. */
  accounts?: string[];
  sftp?: boolean;
  /** `host:port` with `*`, to which connections may be forwarded (`ssh -L`, `-D`, `-J`). */
  forward?: string[];
  /** `host:port` with `*`, on which the host may listen (`ssh -R`). */
  remoteForward?: string[];
  /** Names of variables that the client may set, with `*` at the end. */
  environment?: string[];
  /** The largest file that may be written, bytes. */
  uploadBytesMax?: number;
  /** The command that the host runs whatever the client asks for (a certificate's `force-command`). */
  forceCommand?: string;
  /** Sessions run only while somebody else watches them. */
  fourEyes?: boolean;
}

export interface GuardSpec {
  resources: ResourceSelector;
  priority: number; // higher first; default 0
  rules: GuardRule[];
}

export interface GuardRule {
  name: string;
  match: {
    statements?: string[];
    objects?: string[]; // schema.table.column with `*`
    functions?: string[];
    where?: ('none' | 'tautology')[];
    multiStatement?: boolean;
    maxRows?: number;
  } & ShellMatch; // hosts: programs, paths, connections
  when?: string; // CEL over facts
  action: 'allow' | 'deny' | 'hold';
  message?: string;
  approval?: ApprovalSpec;
}

export interface ApprovalSpec {
  from: { groups: string[] }; // every group must approve
  quorum: number; // distinct persons, of each group
  expiresInMs: number;
  preview: boolean;
}

export type MaskKind = 'redact' | 'partial' | 'hash' | 'null' | 'fake';

export interface DataPolicySpec {
  resources: ResourceSelector;
  columns: { match: string; action: 'mask' | 'deny' | 'allow'; as: MaskKind; predicates: PredicateRule }[];
  detectors: string[];
  /** The policy's own detectors, always on; those of a gitleaks configuration among them. */
  customDetectors?: CustomDetector[];
  /** What a detector's finding becomes; default redact. */
  detectorMask: MaskKind;
  exempt: { groups: string[] };
  /** Who releases what `predicates: hold` holds; present when a column says so. */
  approval?: ApprovalSpec;
}

/** What may be asked of a protected column without seeing it. `equality` may be freer than the rest. */
export type PredicateAction = 'allow' | 'record' | 'hold' | 'deny';
export interface PredicateRule {
  equality: PredicateAction;
  other: PredicateAction;
}

export interface AuditPolicySpec {
  resources: ResourceSelector;
  durability: 'strict' | 'buffered';
  responses: 'none' | 'digest' | 'head' | 'full';
  headBytes: number;
  /** How long ended sessions are kept in the session store; absent: this policy says nothing of it. */
  retentionMs?: number;
  /** Contents are sealed under keys of their sessions, so that they can be made unreadable; absent: no. */
  erasable?: true;
}

/** What somebody may do in Sallyport itself; what they reach through it is a Role's to say. */
export type AccessRole = 'viewer' | 'approver' | 'operator' | 'auditor' | 'admin';

export interface AccessPolicySpec {
  roles: AccessRole[];
  members: { groups: string[]; serviceAccounts: string[]; principals: string[] };
}

/** Who connects. */
export interface Principal {
  kind: 'person' | 'workload';
  name: string;
  issuer: string;
  subject: string;
  groups: string[];
  delegation: string[];
}
