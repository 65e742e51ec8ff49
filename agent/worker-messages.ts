/**
 * What the agent's main thread and its workers say to each other. The main thread owns the control stream, leases, JWKS and
 * shipping; a worker owns listeners, sessions and one spool. Messages are structured clones; secrets in them stay in memory.
 */
import type { LeaseBundle, PublicJwk } from '@sallyport/shared/policy/bundle.ts';

export interface WorkerData {
  index: number; // 0-based; it is in every cancel key this worker hands out
  workers: number;
  agentName: string;
  agentId: string;
  /** PEM, PKCS#8, Ed25519: signs checkpoints of this worker's spool. */
  evidenceKey: string;
  spoolDir: string; // this worker's own folder
  spoolBytesMax: number;
  /** What protocols keep over restarts, for all workers of the agent. */
  stateDir: string;
}

export interface LeasedCredential {
  username: string;
  /** Empty where there is none. */
  password: string;
  privateKey?: string;
  authorityKey?: string;
  dynamic?: { grants: string[] };
  /** Where Vault makes the user: by what, for messages. */
  vaultDatabase?: string;
  /** In place of the password: tokens are made with these keys, or with the agent's own. */
  awsRdsIam?: { region: string; keys?: { accessKeyId: string; secretAccessKey: string } };
}

/** A lease with its secrets opened. */
export interface OpenedLease {
  bundle: LeaseBundle;
  credentials: Record<string, LeasedCredential>;
  maskKeys: Record<string, Uint8Array>; // 32 bytes each
  /** resource → PEM chain and key that clients see; `*` is the agent's own from the control plane's CA. */
  serving: Record<string, { certificate: string; key: string }>;
  /** ssh resource → its host key, PEM. */
  hostKeys?: Record<string, string>;
}

export type ToWorker =
  | { type: 'lease'; lease: OpenedLease; listen: Record<string, string> } // resource → host:port to bind (never port 0: main picks)
  | { type: 'jwks'; issuer: string; keys: PublicJwk[] }
  | { type: 'revoked'; tokenIds: string[] }
  | { type: 'kill'; sessionId: string; reason: string }
  | { type: 'observed'; sessionId: string; watchId: string; observer: string; forMs: number } // 0: they have gone
  | { type: 'cancel'; pid: number; secret: Uint8Array } // a CancelRequest that arrived at another worker
  | { type: 'approval'; approvalId: string; state: 'approved' | 'denied' | 'expired'; by: string[]; reason: string; binding: Uint8Array }
  | { type: 'connected'; connected: boolean } // to the control plane
  | { type: 'shipped'; nextIndex: number } // records before it are in the log: their segments may go
  | { type: 'budget'; key: string; rows: number; bytes: number; atMs: number } // what other workers' sessions used, or was used before a restart
  | { type: 'stats'; id: number }
  | { type: 'catalog'; id: number; resource: string; database: string }
  | { type: 'drain'; deadlineMs: number }
  | { type: 'stop' };

export type FromWorker =
  | { type: 'ready' }
  | { type: 'listening'; resource: string; address: string }
  | { type: 'problem'; resource: string; reason: string } // cannot be served: why, for people
  | { type: 'jwksMiss'; issuer: string } // a token named a key id that is not cached
  | { type: 'sessionStarted'; session: LiveSessionInfo }
  | { type: 'sessionEnded'; sessionId: string }
  | { type: 'cancel'; worker: number; pid: number; secret: Uint8Array }
  | { type: 'approvalRequested'; request: ApprovalRequest }
  | { type: 'approvalWithdrawn'; approvalId: string; reason: string }
  | { type: 'checkpoint'; ledger: string; statement: Uint8Array; signature: Uint8Array } // on disk; the newest covers those before it
  | { type: 'durable'; nextIndex: number } // records before it are on disk in this worker's spool
  | { type: 'usage'; key: string; rows: number; bytes: number }
  | { type: 'stats'; id: number; metrics: Record<string, number>; addedLatency: readonly number[] }
  | { type: 'catalog'; id: number; catalog: Uint8Array; problem: string } // gzip of JSON; empty with a problem
  | { type: 'stopped' };

export interface LiveSessionInfo {
  sessionId: string;
  resource: string;
  principal: string;
  principalKind: 'person' | 'workload';
  clientAddress: string;
  startedUnixUs: number;
  role: string;
  issuer: string;
}

export interface ApprovalRequest {
  approvalId: string;
  sessionId: string;
  commandSeq: number;
  resource: string;
  rule: string;
  text: string;
  binding: Uint8Array;
  principal: { kind: 'person' | 'workload'; name: string; issuer: string; subject: string; groups: string[]; delegation: string[] };
  approvalJson: string;
  previewJson: string;
  expiresUnixMs: number;
  fingerprint: string;
  parameters?: string[];
}
