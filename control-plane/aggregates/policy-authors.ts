/**
 * Who must not approve a held command because they have shaped what asks for the approval: the rule itself, the resource with its labels
 * (which choose the rules), and the identity provider that says which groups the approver is in. And who could have given the command
 * themselves: a service account acts for whoever says whom it trusts, or has made a secret of it.
 */
import type { IdentityProviderSpec, Kind } from '@sallyport/shared/policy/model.ts';
import { type Author, isAuthor } from './authors.ts';
import type { Projection } from './projection.ts';

export function policyAuthors(state: Projection, approvalId: string, approver: { issuer: string }, nowMs: number): Author[] {
  const approval = state.approval(approvalId);
  if (approval.status === 'unknown') return [];
  const { rule, resource, access, principal } = approval.question;
  // A rule is recorded as `manifest/rule`; which of the two kinds it is, the name does not say.
  const named = rule.slice(0, Math.max(0, rule.indexOf('/')));
  const manifests: [Kind, string][] = [
    ['Resource', resource],
    ...(named === '' ? [] : ([['Guard', named] as const, ['DataPolicy', named] as const] satisfies [Kind, string][])),
    ...(access === undefined ? [] : ([['Role', access.role]] satisfies [Kind, string][])),
    ...[...(principal.kind === 'workload' ? [principal.name] : []), ...principal.delegation].map((name): [Kind, string] => [
      'ServiceAccount',
      name,
    ]),
    ...state
      .manifests('IdentityProvider')
      .filter(({ manifest }) => issuerOf(manifest.spec as IdentityProviderSpec) === approver.issuer)
      .map(({ manifest }): [Kind, string] => ['IdentityProvider', manifest.name]),
  ];
  return manifests.flatMap(([kind, name]) => state.authorsOf(kind, name, nowMs));
}

/** Whether a person has had a hand in how a resource is audited: who has does not come under that audit, by a role or by asking. */
export function shapesAudit(state: Projection, person: { name: string; issuer: string; subject: string }, resource: string, nowMs: number) {
  return [...state.authorsOf('Resource', resource, nowMs), ...state.authorsOfKind('AuditPolicy', nowMs)].some(author =>
    isAuthor(person, author),
  );
}

function issuerOf({ oidc, saml }: IdentityProviderSpec): string | undefined {
  return oidc?.issuer ?? saml?.issuer;
}
