/**
 * Which groups somebody is in, where a directory tells of groups (SCIM) beside what their token says: a group that the directory has told
 * of is the directory's alone, whoever it lists is in it and nobody else, whatever tokens say. Of all other groups tokens decide.
 *
 * For persons; the groups of a service account are its manifest's. Pure, and the same in both planes: agents have the directory's groups
 * in their lease.
 */
import type { Principal } from '../policy/model.ts';

/** As leases carry it. */
export interface DirectoryGroup {
  name: string;
  /** Names of people, in lower case, sorted; none for a group that the directory has deleted or renamed. */
  members: readonly string[];
}

/** Group → names of people, in lower case. */
export type DirectoryGroups = ReadonlyMap<string, { has(name: string): boolean }>;

export function directoryGroups(groups: readonly DirectoryGroup[] = []): DirectoryGroups {
  return new Map(groups.map(({ name, members }) => [name, new Set(members)]));
}

/** The principal as the directory has it; the same object when that changes nothing. */
export function inDirectory(principal: Principal, directory: DirectoryGroups): Principal {
  if (directory.size === 0 || principal.kind !== 'person') return principal;
  const name = principal.name.toLowerCase();
  const groups = principal.groups.filter(group => directory.get(group)?.has(name) ?? true);
  for (const [group, members] of directory) if (members.has(name) && !groups.includes(group)) groups.push(group);
  const isSame = groups.length === principal.groups.length && groups.every((group, at) => group === principal.groups[at]);
  return isSame ? principal : { ...principal, groups };
}
