/**
 * How an agent becomes known to its control plane, and stays so: join once with a token, renew the certificates in time. What the
 * control plane answered is kept in one file, replaced whole.
 *
 * The control plane is believed only with the CA whose hash the token holds; that CA never changes for an enrolled agent.
 */
import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { JoinRequestSchema, RenewRequestSchema } from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { sealingPublicKey } from '@sallyport/shared/crypto/seal.ts';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { readPrivateJson, replacePrivateFile } from '../files.ts';
import { fetchAuthority } from './authority.ts';
import { type ControlPlaneAddress, ControlPlaneClient } from './control-plane-client.ts';
import { parseJoinToken } from './join-token.ts';
import { type AgentKeys, certificateRequest, signingPublicKey } from './keys.ts';

export interface EnrolmentState {
  agentId: string;
  name: string;
  /** PEM. */
  certificate: string;
  servingCertificate: string;
  ca: string;
  /** Raw Ed25519 public key, 32 bytes, base64: signs leases. */
  leaseKey: string;
  /** Set once a lease has named them: every key that may sign leases, and `leaseKey` only if it is among them. */
  leaseKeys?: readonly string[];
}

/** Raw Ed25519 keys, base64. */
export function trustedLeaseKeys({ leaseKey, leaseKeys }: Pick<EnrolmentState, 'leaseKey' | 'leaseKeys'>): readonly string[] {
  return leaseKeys ?? [leaseKey];
}

export interface EnrolmentRequest {
  token: string;
  address: ControlPlaneAddress;
  name: string;
  labels: Record<string, string>;
  hostnames: string[];
  version: string;
}

/** @returns null when this data folder never joined. @throws {GatewayError} DATA_UNREADABLE. */
export async function loadEnrolment(file: string): Promise<EnrolmentState | null> {
  const stored = await readPrivateJson(file);
  if (stored === null) return null;
  const { agentId, name, certificate, servingCertificate, ca, leaseKey } = stored;
  const state = { agentId, name, certificate, servingCertificate, ca, leaseKey };
  for (const value of Object.values(state)) {
    if (typeof value !== 'string')
      throw new GatewayError('DATA_UNREADABLE', 'internal', `${file} is damaged: restore it, or remove it and join anew`);
  }
  const { leaseKeys } = stored;
  if (leaseKeys !== undefined && !(Array.isArray(leaseKeys) && leaseKeys.length > 0 && leaseKeys.every(each => typeof each === 'string')))
    throw new GatewayError('DATA_UNREADABLE', 'internal', `${file} is damaged: restore it, or remove it and join anew`);
  return { ...(state as EnrolmentState), ...(leaseKeys === undefined ? {} : { leaseKeys: leaseKeys as string[] }) };
}

/**
 * Joins with a one-time token.
 * @throws {GatewayError} JOIN_TOKEN_MALFORMED, CONTROL_PLANE_UNREACHABLE, CONTROL_PLANE_UNTRUSTED, JOIN_TOKEN_REFUSED, ENROLMENT_INVALID.
 */
export async function join(request: EnrolmentRequest, keys: AgentKeys, file: string): Promise<EnrolmentState> {
  const token = parseJoinToken(request.token);
  const ca = await fetchAuthority(request.address, token.caFingerprint);
  const client = new ControlPlaneClient(request.address, { ca });
  try {
    const response = await client.join(
      create(JoinRequestSchema, {
        token: request.token,
        csr: await certificateRequest(keys.tlsKey, request.name),
        servingCsr: await certificateRequest(keys.servingKey, request.name),
        name: request.name,
        labels: request.labels,
        version: request.version,
        hostnames: request.hostnames,
        sealingKey: sealingPublicKey(keys.sealingKey),
        signingKey: signingPublicKey(keys),
      }),
    );
    if (!/^[0-9a-f]{32}$/.test(response.agentId) || response.leaseKey.length !== 32) throw invalidAnswer('an id or key in it is malformed');
    if (!Buffer.from(createHash('sha256').update(response.ca).digest()).equals(token.caFingerprint))
      throw invalidAnswer('its CA is another');
    const state: EnrolmentState = {
      agentId: response.agentId,
      name: request.name,
      certificate: certificatePem(response.certificate, keys.tlsKey, ca),
      servingCertificate: certificatePem(response.servingCertificate, keys.servingKey, ca),
      ca,
      leaseKey: Buffer.from(response.leaseKey).toString('base64'),
    };
    await save(file, state);
    return state;
  } finally {
    client.close();
  }
}

/**
 * Gets new certificates for the same keys.
 * @throws {GatewayError} AGENT_UNAUTHENTICATED and others of the control plane, CONTROL_PLANE_UNREACHABLE, ENROLMENT_INVALID.
 */
export async function renew(
  client: ControlPlaneClient,
  current: () => EnrolmentState,
  keys: AgentKeys,
  hostnames: string[],
  file: string,
): Promise<EnrolmentState> {
  const { name } = current();
  const response = await client.renew(
    create(RenewRequestSchema, {
      csr: await certificateRequest(keys.tlsKey, name),
      servingCsr: await certificateRequest(keys.servingKey, name),
      hostnames,
    }),
  );
  // As it is by now: a lease may have named other keys meanwhile.
  const state = current();
  const renewed = {
    ...state,
    certificate: certificatePem(response.certificate, keys.tlsKey, state.ca),
    servingCertificate: certificatePem(response.servingCertificate, keys.servingKey, state.ca),
  };
  await save(file, renewed);
  return renewed;
}

/** Keeps which keys may sign leases from now on, as a lease has said it. */
export async function rememberLeaseKeys(state: EnrolmentState, leaseKeys: readonly string[], file: string): Promise<EnrolmentState> {
  const told = { ...state, leaseKeys };
  await save(file, told);
  return told;
}

/** When to renew: after half of the shorter life, so that there is time to try again before two thirds are over. */
export function renewAtMs(state: EnrolmentState): number {
  const times = [state.certificate, state.servingCertificate].map(pem => {
    const certificate = new X509Certificate(pem);
    const from = certificate.validFromDate.getTime();
    return from + (certificate.validToDate.getTime() - from) / 2;
  });
  return Math.min(...times);
}

/** Can the agent still show its certificate? */
export function certificateExpired(state: EnrolmentState, nowMs: number): boolean {
  return new X509Certificate(state.certificate).validToDate.getTime() <= nowMs;
}

async function save(file: string, state: EnrolmentState): Promise<void> {
  await replacePrivateFile(file, JSON.stringify({ version: 1, ...state }));
}

function certificatePem(der: Uint8Array, keyPem: string, caPem: string): string {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(der);
  } catch (cause) {
    throw invalidAnswer('a certificate in it cannot be read', cause);
  }
  if (!certificate.publicKey.equals(createPublicKey(keyPem))) throw invalidAnswer('a certificate in it is for another key');
  if (!certificate.verify(new X509Certificate(caPem).publicKey)) throw invalidAnswer('a certificate in it is not by the CA');
  return certificate.toString();
}

function invalidAnswer(why: string, cause?: unknown): GatewayError {
  return new GatewayError('ENROLMENT_INVALID', 'protocol', `the control plane's answer cannot be used: ${why}`, { cause });
}
