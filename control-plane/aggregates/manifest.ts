/**
 * The aggregates behind the manifests: resource, credential, identity provider, service account, role, guard, data policy and audit
 * policy. They share one life (applied, applied again, deleted) and differ in the events' names and in what their specs hold.
 *
 * Secrets never enter an event in the clear: a manifest here has had each secret's value taken out, and the event carries it sealed to
 * the key-encryption key, with a keyed fingerprint that tells whether a second application changes it. Validation of specs and of
 * references between manifests is done before (shared/policy/manifests.ts, http/apply.ts).
 */
import { isDeepStrictEqual } from 'node:util';
import type { Kind, Manifest } from '@sallyport/shared/policy/model.ts';
import { type Aggregate, type DomainEvent, grant } from './decider.ts';
import { impossible } from './impossible.ts';

/** A secret of a manifest, by its path in the spec, e.g. `password` or `tls.key`. */
export interface SealedSecret {
  /** Sealed to the key-encryption key for the context `KIND/NAME/PATH`, base64. */
  sealed: string;
  /** Equal for equal secrets of the same manifest and path; keyed, so that it cannot be guessed back. */
  fingerprint: string;
}

export type ManifestState = { status: 'absent' } | { status: 'present'; manifest: Manifest; secrets: Record<string, SealedSecret> };

/** Set when it was proposed by one person and approved by another (change.ts): who approved. The event's author is who proposed. */
interface Reviewed {
  approvedBy?: { name: string; issuer: string; subject: string };
}

export type ManifestRequest =
  | ({ type: 'apply'; manifest: Manifest; secrets: Record<string, SealedSecret> } & Reviewed)
  | ({ type: 'delete' } & Reviewed);

export type ManifestEvent =
  | { type: `${Kind}Applied`; payload: { manifest: Manifest; secrets: Record<string, SealedSecret> } & Reviewed }
  | { type: `${Kind}Deleted`; payload: Reviewed };

export const manifestKinds: Record<Kind, string> = {
  Resource: 'resource',
  Credential: 'credential',
  IdentityProvider: 'identity-provider',
  ServiceAccount: 'service-account',
  Role: 'role',
  Guard: 'guard',
  DataPolicy: 'data-policy',
  AuditPolicy: 'audit-policy',
  AccessPolicy: 'access-policy',
  Channel: 'channel',
};

function manifestAggregate(kind: Kind): Aggregate<ManifestState, ManifestRequest, ManifestEvent> {
  const name = manifestKinds[kind];
  return {
    name,
    initialState: { status: 'absent' },
    decide(request, state) {
      const reviewed = request.approvedBy === undefined ? {} : { approvedBy: request.approvedBy };
      switch (request.type) {
        case 'apply': {
          if (
            state.status === 'present' &&
            isDeepStrictEqual(state.manifest, request.manifest) &&
            sameSecrets(state.secrets, request.secrets)
          ) {
            return grant();
          }
          return grant({ type: `${kind}Applied`, payload: { manifest: request.manifest, secrets: request.secrets, ...reviewed } });
        }
        case 'delete':
          return state.status === 'absent' ? grant() : grant({ type: `${kind}Deleted`, payload: reviewed });
      }
    },
    evolve(state: ManifestState, event: DomainEvent): ManifestState {
      if (event.type === `${kind}Applied`) {
        const { manifest, secrets } = event.payload as { manifest: Manifest; secrets: Record<string, SealedSecret> };
        return { status: 'present', manifest, secrets };
      }
      if (event.type === `${kind}Deleted` && state.status === 'present') return { status: 'absent' };
      return impossible(name, state.status, event);
    },
  };
}

/** Sealing is randomised: only fingerprints can be compared. */
function sameSecrets(kept: Record<string, SealedSecret>, given: Record<string, SealedSecret>): boolean {
  const paths = Object.keys(given);
  return paths.length === Object.keys(kept).length && paths.every(path => kept[path]?.fingerprint === given[path]?.fingerprint);
}

export const manifestAggregates: Record<Kind, Aggregate<ManifestState, ManifestRequest, ManifestEvent>> = {
  Resource: manifestAggregate('Resource'),
  Credential: manifestAggregate('Credential'),
  IdentityProvider: manifestAggregate('IdentityProvider'),
  ServiceAccount: manifestAggregate('ServiceAccount'),
  Role: manifestAggregate('Role'),
  Guard: manifestAggregate('Guard'),
  DataPolicy: manifestAggregate('DataPolicy'),
  AuditPolicy: manifestAggregate('AuditPolicy'),
  AccessPolicy: manifestAggregate('AccessPolicy'),
  Channel: manifestAggregate('Channel'),
};
