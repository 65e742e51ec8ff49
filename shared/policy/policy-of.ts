/**
 * The policy that a set of manifests makes, for whoever judges without being an agent: admission at the control plane, and
 * rehearsals. What only an agent needs of a lease (credentials, keys) is left empty.
 */
import type { LeaseBundle, Named } from './bundle.ts';
import { type CompiledPolicy, compilePolicy } from './compile.ts';
import type { Kind, Manifest, SpecOf } from './model.ts';

/** @param manifests valid ones; of two with one kind and name, the last counts. */
export function policyOf(manifests: readonly Manifest[], version = 0): CompiledPolicy {
  const inForce = [...new Map(manifests.map(manifest => [`${manifest.kind}/${manifest.name}`, manifest])).values()];
  const of = <K extends Kind>(kind: K): Manifest<K>[] => inForce.filter((each): each is Manifest<K> => each.kind === kind);
  const named = <K extends Kind>(kind: K): Named<SpecOf[K]>[] => of(kind).map(({ name, spec }) => ({ name, spec }));
  const bundle: LeaseBundle = {
    version,
    agentId: '',
    issuedAt: '',
    expiresAt: '',
    tickets: { issuer: '', keys: [] },
    identityProviders: [],
    serviceAccounts: named('ServiceAccount'),
    resources: of('Resource').map(({ name, labels, spec }) => ({ name, labels, spec })),
    roles: named('Role'),
    guards: named('Guard'),
    dataPolicies: named('DataPolicy'),
    auditPolicies: named('AuditPolicy'),
    credentials: {},
    servingKeys: {},
    knownCredentials: null,
    maskKeys: {},
    revokedTokens: [],
  };
  return compilePolicy(bundle);
}
