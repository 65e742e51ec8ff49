/**
 * How a stranger becomes an agent, and an agent stays one: Join with a one-time token, Renew with the certificate.
 */
import { createHash } from 'node:crypto';
import 'reflect-metadata';
import { create } from '@bufbuild/protobuf';
import * as x509 from '@peculiar/x509';
import type { JoinRequest, JoinResponse, RenewRequest, RenewResponse } from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { JoinResponseSchema, RenewResponseSchema } from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { peerAt } from '@sallyport/shared/identity/token-bounds.ts';
import { agentAggregate, mayJoinFrom } from '../aggregates/agent.ts';
import { action, type ControlLog, type Outcome } from '../aggregates/control-log.ts';
import type { Authority, IssuedCertificate } from '../pki/authority.ts';
import { hashSecret, parseJoinToken, secretMatches } from '../pki/join-token.ts';
import type { AgentIdentity } from './agent-identity.ts';

export interface EnrolmentOptions {
  control: ControlLog;
  authority: Authority;
  /** The one that signs now. */
  leasePublicKey: () => Uint8Array;
  clock: () => number;
  /** Default 24 h. */
  clientLifetimeMs: number;
  /** Default 7 days: clients of live sessions are not cut when a renewal is late. */
  servingLifetimeMs: number;
}

/** An invitation may have been made at another replica a moment ago. */
const catchUpMs = 5_000;

const tokenRefused = () =>
  new GatewayError(
    'JOIN_TOKEN_REFUSED',
    'unauthenticated',
    'The join token is not valid: it is unknown, used, expired, revoked, or for another network. Ask for a new one (sallyport agents invite).',
  );

export class Enrolment {
  readonly #options: EnrolmentOptions;

  constructor(options: EnrolmentOptions) {
    this.#options = options;
  }

  /** @throws {GatewayError} JOIN_TOKEN_REFUSED, JOIN_INVALID, CSR_INVALID, HOSTNAME_INVALID. */
  async join(request: JoinRequest, address: string): Promise<JoinResponse> {
    const { control, clock } = this.#options;
    const token = parseJoinToken(request.token);
    if (token === null) throw tokenRefused();
    // Looked at first, so that nobody without a token makes the CA work; the aggregate decides all the same.
    let state = control.state.agent(token.agentId);
    if (state.status === 'unknown' && (await control.catchUp(catchUpMs))) state = control.state.agent(token.agentId);
    if ((state.status !== 'invited' && state.status !== 'active') || !secretMatches(token.secret, state.invitation.secretHash))
      throw tokenRefused();
    const from = peerAt(address).address;
    if (!mayJoinFrom(state.invitation, from)) throw tokenRefused();
    checkJoin(request);
    const { client, serving } = await this.#issue(token.agentId, request.csr, request.servingCsr, request.hostnames);
    const outcome = await control.execute(
      [
        action(agentAggregate, token.agentId, {
          type: 'join',
          secretHash: hashSecret(token.secret),
          nowMs: clock(),
          address: from,
          details: {
            name: request.name,
            version: request.version,
            hostnames: request.hostnames,
            keys: {
              certificateKey: certificateKeyHash(request.csr),
              sealingKey: Buffer.from(request.sealingKey).toString('base64'),
              signingKey: Buffer.from(request.signingKey).toString('base64'),
            },
          },
          certificate: { serial: client.serial, notAfterMs: client.notAfterMs },
        }),
      ],
      { author: `agent:${request.name}`, authorAddress: address, reason: 'joined with a token', requestId: '' },
    );
    refuseRejected(outcome);
    return create(JoinResponseSchema, {
      agentId: token.agentId,
      certificate: client.der,
      servingCertificate: serving.der,
      ca: this.#options.authority.caDer,
      leaseKey: this.#options.leasePublicKey(),
    });
  }

  /** @throws {GatewayError} CSR_INVALID, HOSTNAME_INVALID, AGENT_REVOKED, AGENT_CERTIFICATE_REPLACED. */
  async renew(request: RenewRequest, identity: AgentIdentity): Promise<RenewResponse> {
    const { control, clock } = this.#options;
    const { client, serving } = await this.#issue(identity.agentId, request.csr, request.servingCsr, request.hostnames);
    const outcome = await control.execute(
      [
        action(agentAggregate, identity.agentId, {
          type: 'renew',
          currentSerial: identity.serial,
          nowMs: clock(),
          hostnames: request.hostnames,
          certificate: { serial: client.serial, notAfterMs: client.notAfterMs },
        }),
      ],
      { author: `agent:${identity.agent.details.name}`, authorAddress: identity.address, reason: 'certificate renewed', requestId: '' },
    );
    refuseRejected(outcome);
    return create(RenewResponseSchema, { certificate: client.der, servingCertificate: serving.der, ca: this.#options.authority.caDer });
  }

  async #issue(
    agentId: string,
    csr: Uint8Array,
    servingCsr: Uint8Array,
    hostnames: string[],
  ): Promise<{ client: IssuedCertificate; serving: IssuedCertificate }> {
    const { authority, clientLifetimeMs, servingLifetimeMs } = this.#options;
    return {
      client: await authority.issueAgentClient(agentId, csr, clientLifetimeMs),
      serving: await authority.issueAgentServing(hostnames, servingCsr, servingLifetimeMs),
    };
  }
}

function checkJoin(request: JoinRequest): void {
  const invalid = (why: string) => new GatewayError('JOIN_INVALID', 'invalid', `The join request is refused: ${why}.`);
  if (!/^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/.test(request.name))
    throw invalid('an agent’s name has 1 to 63 letters, digits, dots, dashes');
  if (request.sealingKey.length !== 32) throw invalid('the sealing key must be a raw X25519 key of 32 bytes');
  if (request.signingKey.length !== 32) throw invalid('the signing key must be a raw Ed25519 key of 32 bytes');
  if (request.version.length > 64) throw invalid('the version is too long');
}

/** Only called once the request has been verified. */
function certificateKeyHash(csr: Uint8Array): string {
  const { publicKey } = new x509.Pkcs10CertificateRequest(new Uint8Array(csr));
  return createHash('sha256').update(Buffer.from(publicKey.rawData)).digest('base64url');
}

function refuseRejected(outcome: Outcome): void {
  if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
}
