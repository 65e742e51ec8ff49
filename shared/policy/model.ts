/**
 * The manifests' shapes after validation: what DESIGN.md's YAML becomes. Durations are milliseconds and sizes bytes here
 * (`1h` → 3_600_000, `50MB` → 50_000_000); optional fields with a default have it filled in.
 *
 * Parsing, validation and the nearest-name messages are in manifests.ts; this file has types only.
 */

export type Kind = 'Resource' | 'Credential' | 'IdentityProvider' | 'ServiceAccount' | 'Role' | 'Guard' | 'DataPolicy' | 'AuditPolicy';

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
}

/** Which resources something is about; all given must match, and an empty selector matches every resource. */
export interface ResourceSelector {
  names?: string[];
  labels?: Record<string, string>;
}

export interface ResourceSpec {
  protocol: 'postgres';
  upstream: {
    address: string; // host:port
    database?: string;
    tls: { mode: 'disable' | 'require' | 'verify-full'; ca?: string; serverName?: string }; // ca: PEM, already read
  };
  agents: { labels: Record<string, string> }; // {} matches every agent
  listen?: string; // host:port; absent: 127.0.0.1 and a free port
  credential: string;
  /** What happens to what cannot be resolved. */
  unknown: 'deny' | 'hold';
  /** Who releases it; present when `unknown` is `hold`. */
  approval?: ApprovalSpec;
  /** The certificate that clients see, instead of one from the control plane's CA. PEM, already read. */
  tls?: { certificate: string; key: SecretSource };
}

export type SecretSource = { env: string } | { file: string } | { value: string };

export interface CredentialSpec {
  username: string;
  password: SecretSource;
}

export interface IdentityProviderSpec {
  oidc: {
    issuer: string;
    audiences: string[];
    subjectClaim: string; // default `sub`
    groupsClaim: string; // default `groups`; dots walk into nested claims
    algorithms: string[]; // default RS256, PS256, ES256, ES384, EdDSA; never none, never HMAC
    clockSkewMs: number; // default 30 s
    /** Public client that `sallyport login` uses. */
    clientId?: string;
  };
}

export interface ServiceAccountSpec {
  groups: string[];
  trusts: { issuer: string; subject: string; audience?: string }[];
}

export interface RoleSpec {
  members: { groups: string[]; serviceAccounts: string[]; principals: string[] };
  resources: ResourceSelector;
  when?: string; // CEL → bool
  session: { maxDurationMs?: number; idleTimeoutMs?: number };
  budget?: { rows?: number; bytes?: number; perMs: number };
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
  };
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
