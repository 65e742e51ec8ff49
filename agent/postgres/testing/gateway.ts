/**
 * A gateway in the test's own process: one worker's session layer with a lease made by hand, records kept in memory, and tokens
 * that are names. Everything between the sockets is the real thing.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import {
  type Command,
  RecordSchema,
  type Response,
  type SessionEnded,
  type Record as SessionRecord,
  type SessionRefused,
} from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { LeaseBundle } from '@sallyport/shared/policy/bundle.ts';
import type { AuditPolicySpec, DataPolicySpec, GuardSpec, ResourceSpec, RoleSpec } from '@sallyport/shared/policy/model.ts';
import type { RecordSink } from '@sallyport/shared/records/sink.ts';
import { loadParser } from '@sallyport/shared/sql/parser.ts';
import type { TokenVerdict } from '../../session/authorisation.ts';
import { Gateway } from '../../session/gateway.ts';
import { LeaseState } from '../../session/lease-state.ts';
import { Listener, type ListenerLimits, splitHostPort } from '../../session/listener.ts';
import type { FromWorker, OpenedLease } from '../../worker-messages.ts';
import { postgres } from '../protocol.ts';

/** Records in memory; durable at once, or when told. */
export class MemorySink implements RecordSink {
  readonly records: SessionRecord[] = [];
  durableIndex = 0;
  /** Durable by itself; false: only `sync` makes it so. */
  automatic = true;
  full = false;
  #waiting: { index: number; done: (error: Error | null) => void }[] = [];
  #scheduled = false;

  append(record: Uint8Array): number {
    if (this.full) throw new GatewayError('SPOOL_FULL', 'unavailable', 'the spool is full');
    this.records.push(fromBinary(RecordSchema, Uint8Array.from(record)));
    if (this.automatic && !this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.sync();
      });
    }
    return this.records.length - 1;
  }

  sync(): void {
    this.durableIndex = this.records.length;
    const ready = this.#waiting.filter(each => each.index < this.durableIndex);
    this.#waiting = this.#waiting.filter(each => each.index >= this.durableIndex);
    for (const each of ready) each.done(null);
  }

  whenDurable(index: number, done: (error: Error | null) => void): void {
    if (index < this.durableIndex) done(null);
    else this.#waiting.push({ index, done });
  }

  get commands(): Command[] {
    return this.records.flatMap(({ body }) => (body.case === 'command' ? [body.value] : []));
  }

  get responses(): Response[] {
    return this.records.flatMap(({ body }) => (body.case === 'response' ? [body.value] : []));
  }

  get refusals(): SessionRefused[] {
    return this.records.flatMap(({ body }) => (body.case === 'sessionRefused' ? [body.value] : []));
  }

  get ended(): SessionEnded[] {
    return this.records.flatMap(({ body }) => (body.case === 'sessionEnded' ? [body.value] : []));
  }
}

export interface TestPolicy {
  guards?: GuardSpec[];
  data?: Partial<DataPolicySpec>[];
  audit?: Partial<AuditPolicySpec>;
  role?: Partial<RoleSpec>;
  onExpiry?: ResourceSpec['onExpiry'];
}

export interface TestGatewayOptions {
  upstream: { address: string; database?: string; tls?: LeaseBundle['resources'][number]['spec']['upstream']['tls'] };
  credential: { username: string; password: string };
  /** PEM. */
  certificate: string;
  key: string;
  policy?: TestPolicy;
  limits?: ListenerLimits;
  sink?: RecordSink;
  verify?: (token: string) => Promise<TokenVerdict>;
}

export interface TestGateway {
  gateway: Gateway;
  sink: MemorySink;
  messages: FromWorker[];
  host: string;
  port: number;
  /** Puts another policy in force. */
  use(policy: TestPolicy): void;
  stop(): void;
}

export const RESOURCE = 'crm';

/** The certificate that a test's PostgreSQL has serves the gateway as well. */
export function certificatesOf(postgres: { ca: string }): { certificate: string; key: string } {
  const dir = path.dirname(postgres.ca);
  return { certificate: readFileSync(path.join(dir, 'server.crt'), 'utf8'), key: readFileSync(path.join(dir, 'server.key'), 'utf8') };
}

/** `good` is alice in group staff; `bad` is nobody; `workload` is a service account; `other` a ticket for another resource. */
export async function verifyByName(token: string): Promise<TokenVerdict> {
  const principal = {
    kind: 'person' as const,
    name: 'alice@example.com',
    issuer: 'https://idp.test',
    subject: 'alice',
    groups: ['staff'],
    delegation: [],
  };
  const expiresAtMs = Date.now() + 3_600_000;
  switch (token) {
    case 'good':
      return { ok: true, principal, tokenId: 'token-good', expiresAtMs };
    case 'stranger':
      return { ok: true, principal: { ...principal, name: 'mallory@example.com', groups: [] }, tokenId: 'token-stranger', expiresAtMs };
    case 'other':
      return { ok: true, principal, tokenId: 'token-other', expiresAtMs, ticketResource: 'other' };
    default:
      return { ok: false, code: 'TOKEN_MALFORMED', reason: 'the token is no JWT' };
  }
}

export function bundleOf(options: TestGatewayOptions, policy: TestPolicy, version: number): LeaseBundle {
  return {
    version,
    agentId: 'agent-test',
    issuedAt: new Date().toISOString(),
    expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
    tickets: { issuer: 'sallyport', keys: [] },
    identityProviders: [],
    serviceAccounts: [],
    resources: [
      {
        name: RESOURCE,
        labels: {},
        spec: {
          protocol: 'postgres',
          upstream: { ...options.upstream, tls: options.upstream.tls ?? { mode: 'disable' } },
          agents: { labels: {} },
          credential: 'app',
          unknown: 'deny',
          ...(policy.onExpiry === undefined ? {} : { onExpiry: policy.onExpiry }),
        },
      },
    ],
    roles: [
      {
        name: 'staff',
        spec: {
          members: { groups: ['staff'], serviceAccounts: [], principals: [] },
          resources: { names: [RESOURCE] },
          session: {},
          ...policy.role,
        },
      },
    ],
    guards: (policy.guards ?? []).map((spec, index) => ({ name: `guard-${index}`, spec })),
    dataPolicies: (policy.data ?? []).map((spec, index) => ({
      name: `data-${index}`,
      spec: { resources: {}, columns: [], detectors: [], detectorMask: 'redact', exempt: { groups: [] }, ...spec },
    })),
    auditPolicies: [
      { name: 'audit', spec: { resources: {}, durability: 'strict', responses: 'head', headBytes: 65_536, ...policy.audit } },
    ],
    credentials: {},
    servingKeys: {},
    knownCredentials: undefined,
    maskKeys: {},
    revokedTokens: [],
  };
}

export function leaseOf(options: TestGatewayOptions, policy: TestPolicy, version: number): OpenedLease {
  return {
    bundle: bundleOf(options, policy, version),
    credentials: { app: options.credential },
    maskKeys: { [RESOURCE]: new Uint8Array(32).fill(7) },
    serving: { '*': { certificate: options.certificate, key: options.key } },
  };
}

export async function startGateway(options: TestGatewayOptions): Promise<TestGateway> {
  await loadParser();
  const memory = new MemorySink();
  const messages: FromWorker[] = [];
  const gateway = new Gateway({
    agentName: 'agent-test',
    index: 0,
    workers: 1,
    sink: options.sink ?? memory,
    verify: options.verify ?? verifyByName,
    post: message => messages.push(message),
    report: error => process.stderr.write(`fault: ${error.stack ?? error.message}\n`),
  });
  let version = 0;
  const use = (policy: TestPolicy) => gateway.takeLease(new LeaseState(leaseOf(options, policy, ++version)), [], () => postgres.depth);
  use(options.policy ?? {});
  const listener = await Listener.open({
    gateway,
    resource: RESOURCE,
    protocol: postgres,
    host: '127.0.0.1',
    port: 0,
    reusePort: false,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  const address = splitHostPort(listener.address);
  return {
    gateway,
    sink: memory,
    messages,
    host: '127.0.0.1',
    port: address?.port ?? 0,
    use,
    stop: () => listener.destroy(),
  };
}
