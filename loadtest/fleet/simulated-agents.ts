/**
 * Many agents in one process, as the control plane sees them: each has its own certificate, its own TLS connection and its own control
 * stream. They speak gRPC over node:http2 by hand, since a full client would cost more than the server that is measured, and they share
 * one private key, since making thousands says nothing about the server. Run by main.ts as a child process; commands come by IPC.
 */
import 'reflect-metadata';
import { generateKeyPairSync } from 'node:crypto';
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import * as x509 from '@peculiar/x509';
import { Backoff } from '@sallyport/agent/control/backoff.ts';
import {
  AgentMessageSchema,
  Capability,
  ControlMessageSchema,
  JoinRequestSchema,
  JoinResponseSchema,
} from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';

export type Order =
  | { order: 'join'; grpc: string; serverName: string; tokens: string[] }
  | { order: 'connect' }
  /** Reports when every agent has a lease that is newer than those of now. */
  | { order: 'awaitLeases' }
  /** The server is about to go: agents come back by themselves, and report when all have a lease again. */
  | { order: 'awaitReturn' }
  | { order: 'stop' };

export type Report =
  | { report: 'joined'; agents: number }
  | { report: 'connected'; agents: number }
  /** When each lease came, milliseconds since 1970. */
  | { report: 'leases'; atMs: number[] }
  | { report: 'returned'; atMs: number[]; cpuSeconds: number };

const p256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
/** As the agent has them (agent/control/control-stream.ts). */
const backoffBaseMs = 500;
const backoffCapMs = 30_000;

interface Simulated {
  certificate: string;
  stream: ClientHttp2Stream | null;
  session: ClientHttp2Session | null;
  backoff: Backoff;
  leases: number;
  leaseAtMs: number;
  /** Digest of the shared half that it was told last, hex. */
  sharedDigest: string;
}

let address = '';
let serverName = '';
let keyPem = '';
let caPem = '';
let stopping = false;
const fleet: Simulated[] = [];
let onLease: (agent: Simulated) => void = () => undefined;

function say(report: Report): void {
  process.send?.(report);
}

function framed(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return frame;
}

/** Calls back with every whole message of a stream. */
function messages(stream: ClientHttp2Stream, take: (message: Buffer) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= 5) {
      const end = 5 + rest.readUInt32BE(1);
      if (rest.length < end) return;
      take(rest.subarray(5, end));
      rest = rest.subarray(end);
    }
  });
}

const headers = (path: string) => ({ ':method': 'POST', ':path': path, te: 'trailers', 'content-type': 'application/grpc' });

async function join(tokens: readonly string[]): Promise<void> {
  const keys = await crypto.subtle.generateKey(p256, true, ['sign', 'verify']);
  const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
  keyPem = `-----BEGIN PRIVATE KEY-----\n${der.toString('base64')}\n-----END PRIVATE KEY-----\n`;
  const request = await x509.Pkcs10CertificateRequestGenerator.create({ name: 'CN=ignored', keys, signingAlgorithm: p256 });
  const csr = new Uint8Array(request.rawData);
  const raw = (kind: 'x25519' | 'ed25519') => {
    const { publicKey } = kind === 'x25519' ? generateKeyPairSync('x25519') : generateKeyPairSync('ed25519');
    return new Uint8Array(Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'));
  };
  const [sealingKey, signingKey] = [raw('x25519'), raw('ed25519')];
  // A joining agent pins the CA by its fingerprint; nobody is in between here.
  const session = connect(`https://${address}`, { rejectUnauthorized: false, servername: serverName });
  let next = 0;
  const one = async (): Promise<void> => {
    for (let index = next++; index < tokens.length; index = next++) {
      const message = create(JoinRequestSchema, {
        ...{ token: tokens[index] ?? '', csr, servingCsr: csr, sealingKey, signingKey },
        ...{ name: `simulated-${index}`, version: '0.0.1', hostnames: ['localhost'] },
      });
      const answer = await new Promise<Buffer>((resolve, reject) => {
        const stream = session.request(headers('/sallyport.agent.v1.EnrolmentService/Join'));
        messages(stream, body => resolve(Buffer.from(body)));
        stream.on('trailers', trailers => {
          if (trailers['grpc-status'] !== '0') reject(new Error(`join: ${String(trailers['grpc-message'])}`));
        });
        stream.on('error', reject);
        stream.end(framed(toBinary(JoinRequestSchema, message)));
      });
      const { certificate, ca } = fromBinary(JoinResponseSchema, answer);
      caPem ||= pem(ca);
      fleet.push({
        certificate: pem(certificate),
        stream: null,
        session: null,
        backoff: new Backoff(backoffBaseMs, backoffCapMs),
        leases: 0,
        leaseAtMs: 0,
        sharedDigest: '',
      });
    }
  };
  await Promise.all(Array.from({ length: 8 }, one));
  session.close();
}

function pem(der: Uint8Array): string {
  return `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE-----\n`;
}

function open(agent: Simulated): void {
  const session = connect(`https://${address}`, { ca: caPem, cert: agent.certificate, key: keyPem, servername: serverName });
  agent.session = session;
  const lost = () => {
    if (agent.session !== session || stopping) return;
    agent.session = null;
    agent.stream = null;
    session.destroy();
    setTimeout(() => open(agent), agent.backoff.nextMs());
  };
  session.on('error', lost);
  session.on('close', lost);
  const stream = session.request(headers('/sallyport.agent.v1.AgentService/Connect'));
  agent.stream = stream;
  stream.on('error', lost);
  stream.on('close', lost);
  const tell = (body: Parameters<typeof create<typeof AgentMessageSchema>>[1]) => {
    if (!stream.destroyed) stream.write(framed(toBinary(AgentMessageSchema, create(AgentMessageSchema, body))));
  };
  messages(stream, message => {
    const { body } = fromBinary(ControlMessageSchema, message);
    if (body.case === 'ping') tell({ body: { case: 'pong', value: { nonce: body.value.nonce } } });
    if (body.case !== 'leaseUpdate') return;
    const { shared } = body.value;
    if (shared !== undefined)
      agent.sharedDigest = String((JSON.parse(Buffer.from(shared.statement).toString()) as { digest: string }).digest);
    agent.backoff.reset();
    agent.leases++;
    agent.leaseAtMs = Date.now();
    tell({ body: { case: 'leaseAck', value: { version: BigInt(agent.leases), listeners: {}, problems: {} } } });
    onLease(agent);
  });
  const has = { capabilities: [Capability.LEASE_DIFFERENCES], sharedDigest: Buffer.from(agent.sharedDigest, 'hex') };
  tell({ body: { case: 'hello', value: { version: '0.0.1', leaseVersion: 0n, sessions: [], ...has } } });
}

/** When each agent's next lease came. */
function leases(): Promise<number[]> {
  const waiting = new Set(fleet);
  return new Promise(resolve => {
    onLease = agent => {
      waiting.delete(agent);
      if (waiting.size > 0) return;
      onLease = () => undefined;
      resolve(fleet.map(({ leaseAtMs }) => leaseAtMs));
    };
  });
}

process.on('message', (order: Order) => {
  carryOut(order).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
process.on('disconnect', () => process.exit(0));

async function carryOut(order: Order): Promise<void> {
  switch (order.order) {
    case 'join':
      ({ grpc: address, serverName } = order);
      await join(order.tokens);
      say({ report: 'joined', agents: fleet.length });
      return;
    case 'connect': {
      const all = leases();
      // TLS handshakes of all at once would only queue up in the accept backlog.
      for (const [index, agent] of fleet.entries()) {
        open(agent);
        if (index % 50 === 49) await new Promise(resolve => setTimeout(resolve, 50));
      }
      await all;
      say({ report: 'connected', agents: fleet.length });
      return;
    }
    case 'awaitLeases':
      say({ report: 'leases', atMs: await leases() });
      return;
    case 'awaitReturn': {
      const before = process.cpuUsage();
      const atMs = await leases();
      const { user, system } = process.cpuUsage(before);
      say({ report: 'returned', atMs, cpuSeconds: (user + system) / 1e6 });
      return;
    }
    case 'stop':
      stopping = true;
      for (const { session } of fleet) session?.destroy();
      process.exit(0);
  }
}
