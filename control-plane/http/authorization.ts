/**
 * Who may do what in Sallyport itself: the one table of all routes, and the roles that AccessPolicy manifests give. A route that the
 * table does not name, and that says nothing for itself, is closed.
 *
 * - `public`: anyone.
 * - `signed-in`: whoever an identity provider vouches for; the route shows them what is theirs.
 * - roles: one of them. `admin` is every role.
 *
 * What a principal reaches *through* Sallyport is not here: Roles say that, and `admit` decides (admission.ts).
 */
import { ACCESS_ROLES } from '@sallyport/shared/policy/kinds.ts';
import type { AccessPolicySpec, AccessRole, ApprovalSpec, Manifest, Principal } from '@sallyport/shared/policy/model.ts';
import type { Projection } from '../aggregates/projection.ts';

export type Need = 'public' | 'signed-in' | readonly AccessRole[];

export const routeNeeds: Readonly<Record<string, Need>> = {
  'GET /': 'public',
  'GET /docs': 'public',
  'GET /ca.crt': 'public',
  'GET /healthz': 'public',
  'GET /readyz': 'public',
  'GET /metrics': 'public',
  'GET /openapi.json': 'public',

  'GET /auth/providers': 'public',
  'GET /auth/login': 'public',
  'GET /auth/callback': 'public',
  'POST /auth/saml': 'public',
  'GET /auth/cli': 'public',
  'POST /auth/cli': 'public',
  'POST /auth/cli/token': 'public',
  'POST /auth/logout': 'public',
  'POST /auth/backchannel-logout': 'public',
  'GET /v1/me': 'signed-in',

  'GET /scim/v2/ServiceProviderConfig': ['admin'],
  'GET /scim/v2/Users': ['admin'],
  'POST /scim/v2/Users': ['admin'],
  'GET /scim/v2/Users/:id': ['admin'],
  'PUT /scim/v2/Users/:id': ['admin'],
  'PATCH /scim/v2/Users/:id': ['admin'],
  'DELETE /scim/v2/Users/:id': ['admin'],
  'GET /scim/v2/Groups': ['admin'],
  'POST /scim/v2/Groups': ['admin'],
  'GET /scim/v2/Groups/:id': ['admin'],
  'PUT /scim/v2/Groups/:id': ['admin'],
  'PATCH /scim/v2/Groups/:id': ['admin'],
  'DELETE /scim/v2/Groups/:id': ['admin'],

  'POST /oauth/token': 'public',
  'GET /oauth/jwks': 'public',
  'GET /.well-known/oauth-authorization-server': 'public',

  'GET /v1/resources': 'signed-in',
  'POST /v1/tickets': 'signed-in',
  'GET /v1/tickets': 'signed-in',
  'POST /v1/tickets/:id/revoke': 'signed-in',
  'GET /v1/service-account-secrets': ['viewer', 'operator', 'auditor'],
  'POST /v1/service-account-secrets': ['admin'],
  'POST /v1/service-account-secrets/:id/revoke': ['operator'],
  'GET /v1/approvals': 'signed-in',
  'GET /v1/approvals/:id': 'signed-in',
  'POST /v1/approvals/:id/approve': 'signed-in',
  'POST /v1/approvals/:id/deny': 'signed-in',
  'POST /v1/approvals/:id/revoke': 'signed-in',
  'POST /v1/requests': 'signed-in',
  // Signed by Slack (channels/slack-signature.ts); who pressed is found out behind it.
  'POST /v1/channels/:name/slack': 'public',
  'GET /v1/sessions': 'signed-in',
  'GET /v1/sessions/:id': 'signed-in',
  'POST /v1/sessions/:id/kill': ['operator'],
  'GET /v1/commands': 'signed-in',
  'GET /v1/search/sessions': 'signed-in',
  'GET /v1/search/commands': 'signed-in',
  'GET /v1/sessions/:id/commands/:seq': 'signed-in',
  'GET /v1/sessions/:id/recording': 'signed-in',
  'GET /v1/sessions/:id/live': ['auditor'],
  'POST /v1/ssh/certificates': 'signed-in',
  'GET /v1/ssh/authority': 'signed-in',
  // One's own; of others, and for service accounts, administrators.
  'GET /v1/ssh/keys': 'signed-in',
  'POST /v1/ssh/keys': 'signed-in',
  'POST /v1/ssh/keys/:id/remove': 'signed-in',
  'GET /v1/ssh/authorities/:credential': ['viewer', 'operator', 'auditor'],

  'POST /v1/policy/explain': ['viewer', 'operator', 'auditor'],
  'POST /v1/policy/simulate': ['auditor'],
  'GET /v1/resources/:name/catalog': ['operator', 'auditor'],

  'GET /v1/evidence/questions': ['auditor'],
  'POST /v1/evidence/questions/:name': ['auditor'],
  'GET /v1/evidence/anchors': ['auditor'],
  'GET /v1/evidence/heads': ['viewer', 'operator', 'auditor'],
  'GET /v1/evidence/export': ['auditor'],
  'GET /v1/evidence/holds': ['auditor'],
  'POST /v1/evidence/holds': ['auditor'],
  'POST /v1/evidence/holds/:id/release': ['auditor'],
  'GET /v1/evidence/shreds': ['auditor'],
  'POST /v1/evidence/shreds': ['admin'],
  'POST /v1/evidence/shreds/:id/confirm': ['auditor'],
  'GET /v1/evidence/retention': ['auditor'],
  'POST /v1/evidence/retention/run': ['admin'],

  'GET /v1/agents': ['viewer', 'operator', 'auditor'],
  'POST /v1/agents/invitations': ['operator'],
  // For workloads whose ServiceAccount says so.
  'POST /v1/agents/join-tokens': 'signed-in',
  'POST /v1/agents/:id/log-level': ['operator'],
  'POST /v1/agents/:id/drain': ['operator'],
  'POST /v1/agents/:id/revoke': ['operator'],
  'GET /v1/history/:kind': ['viewer', 'operator', 'auditor'],
  'GET /v1/history/:kind/:name': ['viewer', 'operator', 'auditor'],
  'GET /v1/manifests/:kind': ['viewer', 'operator', 'auditor'],
  'GET /v1/manifests/:kind/:name': ['viewer', 'operator', 'auditor'],
  'GET /v1/changes': ['viewer', 'operator', 'auditor'],
  'GET /v1/changes/:id': ['viewer', 'operator', 'auditor'],
  'POST /v1/changes': ['admin'],
  'POST /v1/changes/:id/approve': ['admin'],
  'POST /v1/changes/:id/reject': ['admin'],
  'POST /v1/changes/:id/withdraw': ['admin'],
  'POST /v1/apply': ['admin'],
  'DELETE /v1/manifests/:kind/:name': ['admin'],
  'GET /v1/events': 'signed-in',
  'GET /v1/access-review': ['auditor'],
  'GET /v1/overview': ['viewer', 'operator', 'auditor'],
  'GET /v1/data-map': ['auditor'],
  'GET /v1/signing-keys': ['viewer', 'operator', 'auditor'],
  'POST /v1/signing-keys/:kind/rotate': ['admin'],
  'GET /v1/credential-sources': ['viewer', 'operator', 'auditor'],
  'POST /v1/control-log/raise-edition': ['admin'],
  'GET /v1/status': ['viewer', 'operator', 'auditor'],
};

/** The need of a route: the table's, else what the route says, else none: closed. */
export function needOf(method: string, url: string, declared: Need | undefined): Need | undefined {
  const key = `${method === 'HEAD' ? 'GET' : method} ${url}`;
  return Object.hasOwn(routeNeeds, key) ? routeNeeds[key] : declared;
}

export function suffices(need: Need, roles: ReadonlySet<AccessRole>): boolean {
  if (need === 'public' || need === 'signed-in') return true;
  return roles.has('admin') || need.some(role => roles.has(role));
}

export const allRoles: ReadonlySet<AccessRole> = new Set(ACCESS_ROLES);

/** The roles of principals under the manifests in force; compiled once per change. */
export class AccessRoles {
  readonly #state: () => { position: bigint; state: Projection };
  #compiled: { position: bigint; policies: AccessPolicySpec[]; approvers: ReadonlySet<string> } | null = null;

  constructor(state: () => { position: bigint; state: Projection }) {
    this.#state = state;
  }

  /**
   * Who an approval rule names is an `approver` without more words, since the rule has said it. Programs that act for a person do not
   * get the person's roles: an act of administration is a person's own, or a service account's own.
   */
  of(principal: Principal): ReadonlySet<AccessRole> {
    const { policies, approvers } = this.#policies();
    const roles = new Set<AccessRole>();
    if (principal.delegation.length > 0) return roles;
    for (const { members, roles: given } of policies) {
      if (!isMember(principal, members)) continue;
      for (const role of given) roles.add(role);
    }
    if (roles.has('admin')) return allRolesFor(principal);
    if (principal.kind === 'person' && principal.groups.some(group => approvers.has(group))) roles.add('approver');
    if (principal.kind === 'workload') roles.delete('approver');
    return roles;
  }

  #policies() {
    const { position, state } = this.#state();
    if (this.#compiled?.position === position) return this.#compiled;
    const policies = state.manifests('AccessPolicy').map(({ manifest }) => manifest.spec as AccessPolicySpec);
    this.#compiled = { position, policies, approvers: new Set(approvalRules(state).flatMap(({ from }) => from.groups)) };
    return this.#compiled;
  }
}

function allRolesFor(principal: Principal): ReadonlySet<AccessRole> {
  return principal.kind === 'person' ? allRoles : new Set(ACCESS_ROLES.filter(role => role !== 'approver'));
}

function isMember(principal: Principal, members: AccessPolicySpec['members']): boolean {
  if (principal.groups.some(group => members.groups.includes(group))) return true;
  return (principal.kind === 'workload' ? members.serviceAccounts : members.principals).includes(principal.name);
}

/** Every `approval` that a manifest in force has. */
function approvalRules(state: Projection): ApprovalSpec[] {
  const guards = state.manifests('Guard').flatMap(({ manifest }) => (manifest as Manifest<'Guard'>).spec.rules.map(rule => rule.approval));
  const policies = state.manifests('DataPolicy').map(({ manifest }) => (manifest as Manifest<'DataPolicy'>).spec.approval);
  const resources = state.manifests('Resource').map(({ manifest }) => (manifest as Manifest<'Resource'>).spec.approval);
  return [...guards, ...policies, ...resources].filter(rule => rule !== undefined);
}
