/**
 * The aggregate of one agent, from its invitation to its revocation. Its stream is `agent/ID`; the id is made with the invitation.
 *
 * States and legal moves:
 *
 *     unknown ── AgentInvited ──▶ invited ── AgentJoined ──▶ active ── AgentRenewed ──▶ active
 *                                    └────────── AgentRevoked ──▶ revoked ◀── AgentRevoked ─┘
 *
 * The join secret works once. The same agent may repeat its own join while the token lasts, in case the answer was lost: it must hold
 * the same three keys. AgentStarted and AgentCopySeen leave an agent active: the first says which process speaks for it, the second that
 * another one tried to while that one was there. A process that comes back after another had followed it proves that its keys are in two
 * places, and the agent is revoked: nobody can tell which of the two is the thief's. Certificates themselves are issued before the request arrives here; what was issued for a rejected request is
 * never handed out.
 */
import { timingSafeEqual } from 'node:crypto';
import { isInNetworks } from '@sallyport/shared/identity/networks.ts';
import { type Aggregate, type DomainEvent, grant, reject } from './decider.ts';
import { impossible } from './impossible.ts';

export interface IssuedSerial {
  serial: string;
  notAfterMs: number;
}

export interface AgentKeys {
  /** SHA-256 of the certificate key's SubjectPublicKeyInfo, base64url. */
  certificateKey: string;
  /** X25519, base64. */
  sealingKey: string;
  /** Ed25519, base64. */
  signingKey: string;
}

export interface AgentDetails {
  name: string;
  version: string;
  hostnames: string[];
  keys: AgentKeys;
}

export interface Invitation {
  secretHash: string;
  /** Resources choose their agents by these. */
  labels: Record<string, string>;
  /** The agent serves every resource, whatever labels those ask for: the one agent of a single machine. */
  everyResource: boolean;
  /** CIDR: who joins must come from one of them; absent: from anywhere. */
  networks?: string[];
  expiresAtMs: number;
}

export type AgentState =
  | { status: 'unknown' }
  | { status: 'invited'; invitation: Invitation }
  | {
      status: 'active';
      invitation: Invitation;
      details: AgentDetails;
      joinedAtMs: number;
      /** Newest first; the one before the newest stays good, since a renewal's answer may be lost. */
      certificates: IssuedSerial[];
      /** Processes that have spoken for the agent, newest first. */
      instances: readonly string[];
      /** The last time that somebody came with the agent's certificate while it was there itself. */
      copySeen?: { address: string; atMs: number };
    }
  | { status: 'revoked'; details: AgentDetails | null; labels: Record<string, string>; reason: string };

export type AgentRequest =
  | { type: 'invite'; invitation: Invitation }
  /** `address`: where it comes from, without a port. */
  | { type: 'join'; secretHash: string; nowMs: number; address: string; details: AgentDetails; certificate: IssuedSerial }
  | { type: 'renew'; currentSerial: string; nowMs: number; hostnames: string[]; certificate: IssuedSerial }
  /** A process with the agent's certificate has come. */
  | { type: 'start'; instance: string }
  /** Another has come, while the process before answers. */
  | { type: 'copySeen'; address: string; nowMs: number }
  | { type: 'revoke'; reason: string };

export type AgentEvent =
  | { type: 'AgentInvited'; payload: Invitation }
  | { type: 'AgentJoined'; payload: { details: AgentDetails; joinedAtMs: number; certificate: IssuedSerial } }
  | { type: 'AgentRenewed'; payload: { hostnames: string[]; certificate: IssuedSerial } }
  | { type: 'AgentStarted'; payload: { instance: string } }
  | { type: 'AgentCopySeen'; payload: { address: string; atMs: number } }
  | { type: 'AgentRevoked'; payload: { reason: string } };

const certificatesKept = 2;
const instancesKept = 16;
/** A copy tries again and again: it is told of once in this time. */
const copySeenAgainMs = 60 * 60 * 1000;
/** Why an agent is revoked whose processes take turns. */
export const copiedReason =
  'two processes hold this agent’s keys: its data folder was copied, or restored beside the agent that was running. Find out which is yours, remove the other, and enrol it anew.';
/** One answer for every bad token, so that nobody learns which part was wrong. */
const tokenRefused = reject(
  'JOIN_TOKEN_REFUSED',
  'unauthenticated',
  'The join token is not valid: it is unknown, used, expired, revoked, or for another network. Ask for a new one (sallyport agents invite).',
);

export function mayJoinFrom({ networks }: Invitation, address: string): boolean {
  return networks === undefined || isInNetworks(address, networks);
}

const notEnrolled = reject('AGENT_REVOKED', 'unauthenticated', 'This agent is not enrolled, or was revoked.');

export const agentAggregate: Aggregate<AgentState, AgentRequest, AgentEvent> = {
  name: 'agent',
  initialState: { status: 'unknown' },

  decide(request, state) {
    switch (request.type) {
      case 'invite':
        if (state.status === 'unknown') return grant({ type: 'AgentInvited', payload: request.invitation });
        if (state.status === 'invited' && state.invitation.secretHash === request.invitation.secretHash) return grant();
        return reject('AGENT_EXISTS', 'conflict', 'An agent with this id was invited before.');

      case 'join': {
        if (state.status !== 'invited' && state.status !== 'active') return tokenRefused;
        if (!equalConstantTime(state.invitation.secretHash, request.secretHash) || request.nowMs >= state.invitation.expiresAtMs) {
          return tokenRefused;
        }
        if (!mayJoinFrom(state.invitation, request.address)) return tokenRefused;
        const { details, certificate } = request;
        if (state.status === 'invited') {
          return grant({ type: 'AgentJoined', payload: { details, joinedAtMs: request.nowMs, certificate } });
        }
        if (!sameKeys(state.details.keys, details.keys)) return tokenRefused;
        return grant({ type: 'AgentRenewed', payload: { hostnames: details.hostnames, certificate } });
      }

      case 'renew': {
        if (state.status !== 'active') return notEnrolled;
        if (!certificateIsGood(state, request.currentSerial, request.nowMs)) {
          return reject(
            'AGENT_CERTIFICATE_REPLACED',
            'unauthenticated',
            'This certificate has been replaced by a newer one, or has expired.',
          );
        }
        return grant({ type: 'AgentRenewed', payload: { hostnames: request.hostnames, certificate: request.certificate } });
      }

      case 'start': {
        if (state.status !== 'active') return notEnrolled;
        const [newest, ...before] = state.instances;
        // Agents of an older version say nothing of themselves.
        if (request.instance === newest || (request.instance === '' && newest === undefined)) return grant();
        // A process that another has followed is not started again: both live.
        if (request.instance !== '' && before.includes(request.instance))
          return grant({ type: 'AgentRevoked', payload: { reason: copiedReason } });
        return grant({ type: 'AgentStarted', payload: { instance: request.instance } });
      }

      case 'copySeen': {
        if (state.status !== 'active') return notEnrolled;
        const { address, nowMs } = request;
        if (state.copySeen?.address === address && nowMs - state.copySeen.atMs < copySeenAgainMs) return grant();
        return grant({ type: 'AgentCopySeen', payload: { address, atMs: nowMs } });
      }

      case 'revoke':
        if (state.status === 'unknown') return reject('AGENT_UNKNOWN', 'notFound', 'There is no such agent.');
        return state.status === 'revoked' ? grant() : grant({ type: 'AgentRevoked', payload: { reason: request.reason } });
    }
  },

  evolve(state, event: DomainEvent): AgentState {
    const known = event as AgentEvent;
    switch (known.type) {
      case 'AgentInvited':
        if (state.status !== 'unknown') return impossible('agent', state.status, event);
        return { status: 'invited', invitation: known.payload };
      case 'AgentJoined': {
        if (state.status !== 'invited') return impossible('agent', state.status, event);
        const { details, joinedAtMs, certificate } = known.payload;
        return { status: 'active', invitation: state.invitation, details, joinedAtMs, certificates: [certificate], instances: [] };
      }
      case 'AgentRenewed': {
        if (state.status !== 'active') return impossible('agent', state.status, event);
        const { hostnames, certificate } = known.payload;
        const certificates = [certificate, ...state.certificates].slice(0, certificatesKept);
        return { ...state, details: { ...state.details, hostnames }, certificates };
      }
      case 'AgentStarted':
        if (state.status !== 'active') return impossible('agent', state.status, event);
        return { ...state, instances: [known.payload.instance, ...state.instances].slice(0, instancesKept) };
      case 'AgentCopySeen':
        if (state.status !== 'active') return impossible('agent', state.status, event);
        return { ...state, copySeen: known.payload };
      case 'AgentRevoked': {
        if (state.status !== 'invited' && state.status !== 'active') return impossible('agent', state.status, event);
        const details = state.status === 'active' ? state.details : null;
        return { status: 'revoked', details, labels: state.invitation.labels, reason: known.payload.reason };
      }
      default:
        return impossible('agent', state.status, event);
    }
  },
};

/** Whether a certificate with this serial speaks for the agent now. */
export function certificateIsGood(state: AgentState, serial: string, nowMs: number): boolean {
  return state.status === 'active' && state.certificates.some(issued => issued.serial === serial && nowMs < issued.notAfterMs);
}

function sameKeys(a: AgentKeys, b: AgentKeys): boolean {
  return a.certificateKey === b.certificateKey && a.sealingKey === b.sealingKey && a.signingKey === b.signingKey;
}

function equalConstantTime(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
