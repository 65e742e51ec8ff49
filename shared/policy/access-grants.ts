/**
 * Roles for a time: somebody asked, others approved, and until it ends the role admits one principal to one resource.
 *
 * A grant names its principal by issuer and subject: a name or a group that another provider gives out means nothing to it. What
 * the role demands otherwise (conditions, limits, budgets, what the protocol can enforce) holds as for its members. Pure.
 */
import type { Named } from './bundle.ts';
import type { CompiledPolicy } from './compile.ts';
import { admit } from './decide.ts';
import type { Admission, EnforcementDepth } from './decision.ts';
import type { Principal, RoleSpec } from './model.ts';

export interface AccessGrant {
  approvalId: string;
  role: string;
  resource: string;
  principal: Pick<Principal, 'kind' | 'issuer' | 'subject'>;
  expiresAtMs: number;
  approvers: string[];
}

/** `access`: the grant without which the principal would not be admitted. */
export type AccessAdmission = (Admission & { admitted: true; access?: AccessGrant }) | (Admission & { admitted: false });

/** No token's group can be one: those are taken out before. */
const MARK = '\0access/';

/** Roles that know their grants; what `admitWithGrants` needs to be compiled. */
export function rolesWithGrants(roles: readonly Named<RoleSpec>[], grants: readonly AccessGrant[]): Named<RoleSpec>[] {
  return roles.map(role => {
    const marks = grants.filter(grant => grant.role === role.name && role.spec.requests !== undefined).map(markOf);
    if (marks.length === 0) return role;
    const { members } = role.spec;
    return { ...role, spec: { ...role.spec, members: { ...members, groups: [...members.groups, ...marks] } } };
  });
}

/** `admit`, first for what the principal may by themselves, then with what they were given for now. */
export function admitWithGrants(
  policy: CompiledPolicy,
  grants: readonly AccessGrant[],
  given: Principal,
  resource: string,
  depth: EnforcementDepth,
  now: Date,
  onlyRole?: string,
): AccessAdmission {
  const principal = given.groups.some(isMark) ? { ...given, groups: given.groups.filter(group => !isMark(group)) } : given;
  const own = admit(policy, principal, resource, depth, now, onlyRole);
  if (own.admitted) return own;
  const mine = grants.filter(
    grant =>
      grant.resource === resource &&
      grant.expiresAtMs > now.getTime() &&
      // Whoever acts for the person was not who asked.
      principal.delegation.length === 0 &&
      grant.principal.kind === principal.kind &&
      grant.principal.issuer === principal.issuer &&
      grant.principal.subject === principal.subject,
  );
  if (mine.length === 0) return own;
  const admission = admit(policy, { ...principal, groups: [...principal.groups, ...mine.map(markOf)] }, resource, depth, now, onlyRole);
  if (!admission.admitted) return admission;
  const [first, ...others] = mine.filter(grant => grant.role === admission.role);
  if (first === undefined) return own;
  return { ...admission, access: others.reduce((best, each) => (each.expiresAtMs > best.expiresAtMs ? each : best), first) };
}

function markOf({ approvalId }: AccessGrant): string {
  return MARK + approvalId;
}

function isMark(group: string): boolean {
  return group.startsWith(MARK);
}
