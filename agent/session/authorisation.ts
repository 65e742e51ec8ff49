/**
 * Who may open a session: token → principal → admission, in one place for every protocol.
 *
 * The outcome of success is a `SessionAuthorization`, which only `authorise` can make and which is consumed by opening the one
 * session that it stands for; code that has none cannot open a session, whatever state it is in. A refusal says why to the record
 * and nothing to the client.
 */
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { type Peer, refusalByBounds, type TokenBounds } from '@sallyport/shared/identity/token-bounds.ts';
import type { AccessAdmission } from '@sallyport/shared/policy/access-grants.ts';
import type { EnforcementDepth } from '@sallyport/shared/policy/decision.ts';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import type { LeaseState, ResourceState } from './lease-state.ts';

/** What a verified token says. */
export type TokenVerdict =
  | {
      ok: true;
      principal: Principal;
      tokenId: string;
      expiresAtMs: number;
      ticketResource?: string;
      bounds?: TokenBounds;
      /** Set when a registered public key is the proof: `tokenId` is its registration's. */
      byRegisteredKey?: true;
    }
  | { ok: false; code: string; reason: string };

export interface Grant {
  readonly lease: LeaseState;
  readonly resource: ResourceState;
  readonly principal: Principal;
  /** As the token has them, without what the lease says of their groups. */
  readonly verified: Principal;
  readonly tokenId: string;
  /** `tokenId` is that of a registered public key, whose holder each lease says anew. */
  readonly byRegisteredKey: boolean;
  /** The role that the token is for; absent: any. */
  readonly onlyRole?: string;
  readonly admission: AccessAdmission & { admitted: true };
}

const MAKER = Symbol('only authorise() makes authorisations');

/** Proof that a principal was admitted to a resource, good for one session. */
export class SessionAuthorization {
  #grant: Grant | null;

  constructor(maker: typeof MAKER, grant: Grant) {
    if (maker !== MAKER) throw new GatewayError('AUTHORIZATION_FORGED', 'internal', 'a session authorisation is made by authorise() alone');
    this.#grant = grant;
  }

  /** Gives the grant once; a second session cannot be opened with it. */
  consume(): Grant {
    const grant = this.#grant;
    if (grant === null) throw new GatewayError('AUTHORIZATION_CONSUMED', 'internal', 'this session authorisation was used before');
    this.#grant = null;
    return grant;
  }
}

export type AuthorisationOutcome =
  | { authorised: true; authorization: SessionAuthorization }
  | { authorised: false; code: string; reason: string; principal?: Principal };

export interface AuthorisationRequest {
  token: string;
  resource: string;
  depth: EnforcementDepth;
  /** The lease in force; null: there is none. */
  lease: LeaseState | null;
  verify: (token: string, resource: string) => Promise<TokenVerdict>;
  /** The client's end of the connection. */
  peer: Peer;
  isRevoked: (tokenId: string) => boolean;
  now: Date;
}

/**
 * Judges one token for one resource. Every check that can refuse is behind the token's signature, so that somebody without a
 * valid token learns nothing from time or text. Never throws: a fault is a refusal.
 */
export async function authorise(request: AuthorisationRequest): Promise<AuthorisationOutcome> {
  let verdict: TokenVerdict;
  try {
    verdict = await request.verify(request.token, request.resource);
  } catch (error) {
    return { authorised: false, code: 'TOKEN_CHECK_FAILED', reason: `the token could not be checked: ${errorText(error)}` };
  }
  if (!verdict.ok) return { authorised: false, code: verdict.code, reason: verdict.reason };
  const { principal: verified, tokenId } = verdict;
  let principal = verified;
  const refused = (code: string, reason: string): AuthorisationOutcome => ({ authorised: false, code, reason, principal });
  try {
    const { lease, now } = request;
    if (request.isRevoked(tokenId)) return refused('TOKEN_REVOKED', 'the token was revoked');
    if (verdict.ticketResource !== undefined && verdict.ticketResource !== request.resource) {
      return refused('TICKET_OTHER_RESOURCE', `the ticket is for the resource ${JSON.stringify(verdict.ticketResource)}`);
    }
    const unbound = refusalByBounds(verdict.bounds, request.peer);
    if (unbound !== null) return refused(unbound.code, unbound.reason);
    if (lease === null) return refused('NO_LEASE', 'the agent has no lease');
    if (lease.expiresAtMs <= now.getTime())
      return refused('LEASE_EXPIRED', 'the agent\u2019s lease has expired and the control plane has not renewed it');
    principal = lease.principalOf(verified);
    const resource = lease.resources.get(request.resource);
    if (resource === undefined) return refused('UNKNOWN_RESOURCE', 'the lease does not hold this resource');
    const onlyRole = verdict.bounds?.role;
    const admission = lease.admit(principal, request.resource, request.depth, now, onlyRole);
    if (!admission.admitted) return refused(admission.code, admission.reason);
    const byRegisteredKey = verdict.byRegisteredKey === true;
    const grant = {
      lease,
      resource,
      principal,
      verified,
      tokenId,
      byRegisteredKey,
      admission,
      ...(onlyRole === undefined ? {} : { onlyRole }),
    };
    return { authorised: true, authorization: new SessionAuthorization(MAKER, grant) };
  } catch (error) {
    return refused('ADMISSION_FAILED', `the admission could not be decided: ${errorText(error)}`);
  }
}
