/** A client of the gRPC port for tests: joins with keys of its own, opens streams, and opens leases. Knows nothing of the agent's code. */
import 'reflect-metadata';
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, verify, X509Certificate } from 'node:crypto';
import { connect as tlsConnect } from 'node:tls';
import { create } from '@bufbuild/protobuf';
import {
  type ClientDuplexStream,
  credentials,
  makeGenericClientConstructor,
  type ServiceClientConstructor,
  type ServiceDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import * as x509 from '@peculiar/x509';
import {
  type AgentMessage,
  AgentMessageSchema,
  AgentService,
  type ControlMessage,
  EnrolmentService,
  HelloSchema,
  JoinRequestSchema,
  type JoinResponse,
  type RelayAck,
  RenewRequestSchema,
  type RenewResponse,
} from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { type RecordBatch, RecordBatchSchema } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { serviceDefinition } from '@sallyport/proto/service-definition.ts';
import { generateSealingKey } from '@sallyport/shared/crypto/seal.ts';
import type { LeaseBundle } from '@sallyport/shared/policy/bundle.ts';
import { controlPlaneServerName } from '../pki/authority.ts';

const client = (service: typeof AgentService | typeof EnrolmentService, name: string): ServiceClientConstructor =>
  makeGenericClientConstructor(serviceDefinition(service) as unknown as ServiceDefinition, name);
const AgentClient = client(AgentService, 'AgentService');
const EnrolmentClient = client(EnrolmentService, 'EnrolmentService');
const p256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

type Unary<Request, Response> = (request: Request, done: (error: ServiceError | null, response: Response) => void) => void;

export async function csrOf(keys: Awaited<ReturnType<typeof newKeys>>): Promise<Uint8Array> {
  const request = await x509.Pkcs10CertificateRequestGenerator.create({ name: 'CN=ignored', keys, signingAlgorithm: p256 });
  return new Uint8Array(request.rawData);
}

export async function newKeys() {
  return crypto.subtle.generateKey(p256, true, ['sign', 'verify']);
}

/** The certificate chain that the server shows, without trusting it: what a joining agent does. */
export async function presentedCa(address: string): Promise<{ der: Buffer; fingerprint: string }> {
  const { host, port } = split(address);
  return new Promise((resolve, reject) => {
    const socket = tlsConnect({ host, port, rejectUnauthorized: false, ALPNProtocols: ['h2'] }, () => {
      let certificate = socket.getPeerCertificate(true);
      while (certificate.issuerCertificate !== undefined && certificate.issuerCertificate !== certificate)
        certificate = certificate.issuerCertificate;
      socket.destroy();
      resolve({ der: certificate.raw, fingerprint: createHash('sha256').update(certificate.raw).digest('base64url') });
    });
    socket.on('error', reject);
  });
}

export class TestAgent {
  readonly address: string;
  readonly sealing = generateSealingKey();
  readonly signing = generateKeyPairSync('ed25519');
  keys: Awaited<ReturnType<typeof newKeys>> | null = null;
  caPem = '';
  joined: JoinResponse | null = null;
  #client: InstanceType<ServiceClientConstructor> | null = null;

  constructor(address: string) {
    this.address = address;
  }

  async join(token: string, options: { name?: string; hostnames?: string[] } = {}): Promise<JoinResponse> {
    const ca = await presentedCa(this.address);
    this.caPem = pem(ca.der);
    this.keys ??= await newKeys();
    const request = create(JoinRequestSchema, {
      token,
      csr: await csrOf(this.keys),
      servingCsr: await csrOf(await newKeys()),
      name: options.name ?? 'test-agent',
      labels: { network: 'chosen-by-itself' },
      version: '0.0.1',
      sealingKey: this.sealing.publicKey,
      signingKey: new Uint8Array(Buffer.from(this.signing.publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')),
      hostnames: options.hostnames ?? ['localhost', '127.0.0.1'],
    });
    const enrolment = new EnrolmentClient(this.address, credentials.createSsl(Buffer.from(this.caPem)), channelOptions);
    try {
      this.joined = await unary<typeof request, JoinResponse>(enrolment, 'join', request);
      return this.joined;
    } finally {
      enrolment.close();
    }
  }

  /** Opens a channel with the certificate that it has. */
  async connectChannel(certificate?: Uint8Array): Promise<void> {
    this.close();
    const key = await this.keyPem();
    const chain = certificate ?? this.joined?.certificate ?? new Uint8Array();
    const ssl = credentials.createSsl(Buffer.from(this.caPem), Buffer.from(key), Buffer.from(pem(chain)));
    this.#client = new AgentClient(this.address, ssl, channelOptions);
  }

  /** A channel without a client certificate. */
  connectAnonymously(): void {
    this.close();
    this.#client = new AgentClient(this.address, credentials.createSsl(Buffer.from(this.caPem)), channelOptions);
  }

  control(): ClientDuplexStream<AgentMessage, ControlMessage> {
    return this.#method('connect')() as ClientDuplexStream<AgentMessage, ControlMessage>;
  }

  relay(): ClientDuplexStream<RecordBatch, RelayAck> {
    return this.#method('relay')() as ClientDuplexStream<RecordBatch, RelayAck>;
  }

  async renew(): Promise<RenewResponse> {
    if (this.#client === null || this.keys === null) throw new Error('not connected');
    const request = create(RenewRequestSchema, {
      csr: await csrOf(this.keys),
      servingCsr: await csrOf(await newKeys()),
      hostnames: ['localhost'],
    });
    return unary<typeof request, RenewResponse>(this.#client, 'renew', request);
  }

  /** Checks the signature and parses. */
  openLease(lease: { bundle: Uint8Array; signature: Uint8Array }, leaseKey = this.joined?.leaseKey ?? new Uint8Array()): LeaseBundle {
    const signed = Buffer.concat([Buffer.from('sallyport-lease-v1\0', 'latin1'), lease.bundle]);
    if (!verify(null, signed, rawEd25519(leaseKey), lease.signature)) throw new Error('the lease is not signed by the lease key');
    return JSON.parse(Buffer.from(lease.bundle).toString('utf8')) as LeaseBundle;
  }

  batch(spoolId: string, firstIndex: bigint, records: string[], agentId?: string): RecordBatch {
    return create(RecordBatchSchema, {
      agentId: agentId ?? this.joined?.agentId ?? '',
      spoolId,
      firstIndex,
      records: records.map(record => new TextEncoder().encode(record)),
    });
  }

  close(): void {
    this.#client?.close();
    this.#client = null;
  }

  async keyPem(): Promise<string> {
    if (this.keys === null) throw new Error('no key yet');
    const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', this.keys.privateKey));
    return `-----BEGIN PRIVATE KEY-----\n${der.toString('base64')}\n-----END PRIVATE KEY-----\n`;
  }

  #method(name: string): () => unknown {
    const method: unknown = this.#client?.[name];
    if (typeof method !== 'function') throw new Error('not connected');
    return () => method.call(this.#client);
  }
}

/** The next message that fits, or the stream's end as an error. */
export function nextMessage<Message>(
  stream: ClientDuplexStream<never, Message> | ClientDuplexStream<AgentMessage, Message> | ClientDuplexStream<RecordBatch, Message>,
  fits: (message: Message) => boolean,
): Promise<Message> {
  return new Promise((resolve, reject) => {
    const done = (outcome: () => void) => {
      stream.off('data', onData);
      stream.off('error', onError);
      stream.off('end', onEnd);
      outcome();
    };
    const onData = (message: Message) => {
      if (fits(message)) done(() => resolve(message));
    };
    const onError = (error: Error) => done(() => reject(error));
    const onEnd = () => done(() => reject(new Error('the stream ended')));
    stream.on('data', onData);
    stream.on('error', onError);
    stream.on('end', onEnd);
  });
}

/** The status that the stream ends with. */
export function streamStatus(
  stream: ClientDuplexStream<AgentMessage, ControlMessage> | ClientDuplexStream<RecordBatch, RelayAck>,
): Promise<{ code: number; sallyportCode: string }> {
  stream.on('error', () => undefined); // The status says the same.
  stream.resume();
  return new Promise(resolve => {
    stream.on('status', status => resolve({ code: status.code, sallyportCode: String(status.metadata.get('sallyport-code')[0] ?? '') }));
  });
}

/** @param capabilities none: an agent of the first version of the protocol. */
export function hello(capabilities: number[] = [], sharedDigest = '', instance = ''): AgentMessage {
  const value = create(HelloSchema, { version: '0.0.1', instance, capabilities, sharedDigest: Buffer.from(sharedDigest, 'hex') });
  return create(AgentMessageSchema, { body: { case: 'hello', value } });
}

const channelOptions = { 'grpc.ssl_target_name_override': controlPlaneServerName, 'grpc.enable_http_proxy': 0 };

function unary<Request, Response>(from: InstanceType<ServiceClientConstructor>, name: string, request: Request): Promise<Response> {
  const method = from[name] as unknown as Unary<Request, Response>;
  return new Promise((resolve, reject) => {
    method.call(from, request, (error, response) => (error === null ? resolve(response) : reject(error)));
  });
}

export function pem(der: Uint8Array): string {
  return new X509Certificate(der).toString();
}

function rawEd25519(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(raw).toString('base64url') }, format: 'jwk' });
}

function split(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
}
