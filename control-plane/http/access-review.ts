/**
 * Who has what, and whether they use it: every member of every role, every service account and every credential, with the last session
 * that needed it. What nobody has used for months is access that can be taken away.
 *
 * A session counts for the role that admitted it, as its record has it: where two roles would do, the one that did. What the sessions of
 * the time asked for do not show (they are not kept for ever) counts as not used; `since` says how far the answer looks.
 */
import type { Manifest, ResourceSpec, RoleSpec } from '@sallyport/shared/policy/model.ts';
import { selects } from '@sallyport/shared/policy/selectors.ts';

/** Sessions of one kind of user at one resource. */
export interface Use {
  role: string;
  resource: string;
  principal: string;
  principalKind: string;
  groups: string[];
  /** RFC 3339. */
  lastAt: string;
  sessions: number;
}

export interface Used {
  /** null: not in the time that was looked at. */
  lastUsedAt: string | null;
  sessions: number;
}

export interface AccessReview {
  grants: ({ role: string; member: string; kind: 'group' | 'person' | 'serviceAccount'; resources: string[] } & Used)[];
  serviceAccounts: ({ name: string } & Used)[];
  credentials: ({ name: string; resources: string[] } & Used)[];
}

/** Bounds the answer: beyond it the review is refused, not cut short. */
export const usesMax = 200_000;

export const usesQuery = `
  SELECT role, resource, principal, principal_kind AS principalKind, groups, max(started_at) AS lastAt, toUInt32(count()) AS sessions
  FROM sallyport.sessions WHERE role != '' AND started_at >= parseDateTime64BestEffort({since:String}, 6, 'UTC')
  GROUP BY role, resource, principal, principalKind, groups LIMIT ${usesMax + 1}`;

/** Pure. */
export function reviewOf(manifests: readonly Manifest[], uses: readonly Use[]): AccessReview {
  const of = (kind: Manifest['kind']) => manifests.filter(manifest => manifest.kind === kind);
  const resources = of('Resource');
  const sum = (fits: (use: Use) => boolean): Used => {
    const fitting = uses.filter(fits);
    return {
      lastUsedAt: fitting.reduce<string | null>((last, { lastAt }) => (last === null || lastAt > last ? lastAt : last), null),
      sessions: fitting.reduce((all, { sessions }) => all + sessions, 0),
    };
  };
  return {
    grants: of('Role').flatMap(({ name: role, spec }) => {
      const { members, resources: selector } = spec as RoleSpec;
      const selected = resources.filter(({ name, labels }) => selects(selector, name, labels)).map(({ name }) => name);
      const grant = (kind: 'group' | 'person' | 'serviceAccount', member: string, isMember: (use: Use) => boolean) => ({
        ...{ role, kind, member, resources: selected },
        ...sum(use => use.role === role && isMember(use)),
      });
      return [
        ...members.groups.map(group => grant('group', group, use => use.groups.includes(group))),
        ...members.principals.map(name => grant('person', name, use => use.principalKind === 'person' && use.principal === name)),
        ...members.serviceAccounts.map(name =>
          grant('serviceAccount', name, use => use.principalKind === 'workload' && use.principal === name),
        ),
      ];
    }),
    serviceAccounts: of('ServiceAccount').map(({ name }) => ({
      name,
      ...sum(use => use.principalKind === 'workload' && use.principal === name),
    })),
    credentials: of('Credential').map(({ name }) => {
      const served = resources.filter(({ spec }) => (spec as ResourceSpec).credential === name).map(resource => resource.name);
      return { name, resources: served, ...sum(use => served.includes(use.resource)) };
    }),
  };
}
