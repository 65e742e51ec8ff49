/**
 * Who is audited does not decide how. A change of manifests by somebody who may use a resource must leave alone what is recorded of that
 * resource and how it is kept, by whatever way: the audit policy's own text, what it selects, the labels that it selects by.
 *
 * Whether a role's `when` holds just now is not asked: who is admitted at night is audited at night. And a role that admits the editor,
 * before the change or after it, is enough, so that nobody steps out of a role and changes the policy in one go.
 *
 * What it cannot see: two changes, one that takes the editor out of a role and one that brings them back. The second is refused to who
 * has shaped the audit meanwhile (`shaped` below), by an audit policy, also one that is gone, or by the resource's labels: it takes a
 * second person. Access that is given for a time counts like a role.
 */
import { isDeepStrictEqual } from 'node:util';
import type { AuditPolicySpec, Manifest, Principal, RoleSpec } from '@sallyport/shared/policy/model.ts';
import { selects } from '@sallyport/shared/policy/selectors.ts';

export interface Change {
  before: readonly Manifest[];
  after: readonly Manifest[];
  /** Whether there ever was a resource of this name: what is new has nothing recorded yet. */
  existed: (resource: string) => boolean;
  /** Whether the editor has had a hand in how this resource is audited: in an audit policy, also one that is gone, or its labels. */
  shaped: (resource: string) => boolean;
  /** Whether the editor has access to it for a time. */
  granted: (resource: string) => boolean;
}

/** Resources whose audit the editor would change, or would come under with an audit policy that they have shaped; sorted. Pure. */
export function ownAuditChanged(editor: Principal, { before, after, existed, shaped, granted }: Change): string[] {
  const names = new Set([...before, ...after].filter(({ kind }) => kind === 'Resource').map(({ name }) => name));
  return [...names]
    .filter(existed)
    .filter(name => {
      const given = granted(name);
      const [was, is] = [given || mayUse(editor, before, name), given || mayUse(editor, after, name)];
      if (!was && !is) return false;
      const [policiesBefore, policiesAfter] = [auditPoliciesOf(before, name), auditPoliciesOf(after, name)];
      if (!isDeepStrictEqual(policiesBefore, policiesAfter)) return true;
      return !was && shaped(name);
    })
    .sort();
}

function mayUse(person: Principal, manifests: readonly Manifest[], name: string): boolean {
  const resource = resourceOf(manifests, name);
  if (resource === undefined) return false;
  return manifests.some(({ kind, spec }) => {
    if (kind !== 'Role') return false;
    const { members, resources } = spec as RoleSpec;
    const isMember =
      members.groups.some(group => person.groups.includes(group)) ||
      (person.kind === 'person' ? members.principals : members.serviceAccounts).includes(person.name);
    return isMember && selects(resources, resource.name, resource.labels);
  });
}

function auditPoliciesOf(manifests: readonly Manifest[], name: string): Manifest[] {
  const resource = resourceOf(manifests, name);
  if (resource === undefined) return [];
  return manifests
    .filter(({ kind, spec }) => kind === 'AuditPolicy' && selects((spec as AuditPolicySpec).resources, resource.name, resource.labels))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function resourceOf(manifests: readonly Manifest[], name: string): Manifest | undefined {
  return manifests.find(manifest => manifest.kind === 'Resource' && manifest.name === name);
}
