/**
 * Who calls: the agent that the client certificate names, if it is enrolled and the certificate is one of its current ones. Checked at
 * every call and, for streams, again whenever the agent's state changes. Nothing in a message is ever taken for an identity.
 */
import type { DetailedPeerCertificate, PeerCertificate } from 'node:tls';
import type { ServerUnaryCall } from '@grpc/grpc-js';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { type AgentState, certificateIsGood } from '../aggregates/agent.ts';
import type { Projection } from '../aggregates/projection.ts';

export interface AgentIdentity {
  agentId: string;
  agent: AgentState & { status: 'active' };
  serial: string;
  certificateNotAfterMs: number;
  /** host:port of the caller. */
  address: string;
}

type AnyCall = Pick<ServerUnaryCall<unknown, unknown>, 'getAuthContext' | 'getPeer'>;

/** @throws {GatewayError} AGENT_REVOKED; AGENT_UNAUTHENTICATED, with one message for every other reason. */
export function authenticateAgent(call: AnyCall, state: Projection, nowMs: number): AgentIdentity {
  // The library gives a certificate only when TLS has verified it against the CA.
  const certificate: PeerCertificate | DetailedPeerCertificate | undefined = call.getAuthContext().sslPeerCertificate;
  const agentId = certificate?.subject?.CN;
  if (certificate === undefined || typeof agentId !== 'string' || !/^[0-9a-f]{32}$/.test(agentId)) throw unauthenticated();
  const agent = state.agent(agentId);
  const serial = certificate.serialNumber;
  // Whoever holds the revoked agent's key may know why: it is how a running agent learns to stop.
  if (agent.status === 'revoked') throw revoked();
  if (agent.status !== 'active' || !certificateIsGood(agent, serial, nowMs)) throw unauthenticated();
  return { agentId, agent, serial, certificateNotAfterMs: Date.parse(certificate.valid_to), address: call.getPeer() };
}

export function copied(): GatewayError {
  return new GatewayError(
    'AGENT_COPIED',
    'unauthenticated',
    'This agent is connected already, by another process that answers: its data folder was copied. Enrol a second agent with a join token of its own.',
  );
}

export function unauthenticated(): GatewayError {
  return new GatewayError(
    'AGENT_UNAUTHENTICATED',
    'unauthenticated',
    'This call needs the certificate of an enrolled agent; this one is missing, expired, replaced or revoked.',
  );
}

export function revoked(): GatewayError {
  return new GatewayError(
    'AGENT_REVOKED',
    'unauthenticated',
    'This agent was revoked: it must serve nobody any more. A new join token enrols it anew.',
  );
}
