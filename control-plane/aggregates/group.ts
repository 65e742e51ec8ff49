/**
 * The aggregate of one group as a directory knows it (SCIM): stream `group/ID`, and the index of all of them that says who is in what.
 *
 * Names are what policies name. A name that a group ever had stays the directory's, also when the group is renamed or deleted: people's
 * tokens may say it for hours still, and whom the directory took out must not come back by that. shared/identity/directory-groups.ts has
 * the rule by which these groups and those of tokens go together.
 */
import type { DirectoryGroup, DirectoryGroups } from '@sallyport/shared/identity/directory-groups.ts';
import { type Aggregate, type DomainEvent, grant, reject } from './decider.ts';
import { impossible } from './impossible.ts';
import type { UserState } from './user.ts';

export interface GroupAttributes {
  displayName: string;
  externalId?: string;
}

export type GroupState =
  | { status: 'absent' }
  /** `members`: ids of users. `names`: every name that it ever had. */
  | { status: 'present' | 'deleted'; group: GroupAttributes; members: ReadonlySet<string>; names: readonly string[] };

export type GroupRequest =
  | { type: 'create'; group: GroupAttributes; members: readonly string[] }
  /** Made of the group as it is when it is decided. */
  | { type: 'change'; group: GroupAttributes; members: readonly string[] }
  | { type: 'delete' };

export type GroupEvent =
  | { type: 'GroupProvisioned'; payload: GroupAttributes & { members: string[] } }
  | { type: 'GroupChanged'; payload: GroupAttributes & { added: string[]; removed: string[] } }
  | { type: 'GroupDeprovisioned'; payload: Record<string, never> };

/** An event holds them all, and each agent is told. */
export const groupMembersMax = 10_000;
export const groupsMax = 2_000;
const namesMax = 100;

const unknown = reject('GROUP_UNKNOWN', 'notFound', 'There is no such group.');

export const groupAggregate: Aggregate<GroupState, GroupRequest, GroupEvent> = {
  name: 'group',
  initialState: { status: 'absent' },
  decide(request, state) {
    if (request.type !== 'delete' && request.members.length > groupMembersMax)
      return reject('GROUP_TOO_LARGE', 'invalid', `A group has at most ${groupMembersMax} members.`);
    switch (request.type) {
      case 'create':
        if (state.status !== 'absent') return reject('GROUP_ID_TAKEN', 'conflict', 'Another group has this id.');
        return grant({ type: 'GroupProvisioned', payload: { ...request.group, members: [...new Set(request.members)] } });
      case 'change': {
        if (state.status !== 'present') return unknown;
        const { group } = request;
        if (namesAfter(state.names, group.displayName).length > namesMax)
          return reject('GROUP_RENAMED_TOO_OFTEN', 'conflict', `A group may have had ${namesMax} names: delete this one and make another.`);
        const after = new Set(request.members);
        const added = [...after].filter(id => !state.members.has(id));
        const removed = [...state.members].filter(id => !after.has(id));
        const isSame = group.displayName === state.group.displayName && group.externalId === state.group.externalId;
        if (isSame && added.length === 0 && removed.length === 0) return grant();
        return grant({ type: 'GroupChanged', payload: { ...group, added, removed } });
      }
      case 'delete':
        if (state.status === 'absent') return unknown;
        return state.status === 'deleted' ? grant() : grant({ type: 'GroupDeprovisioned', payload: {} });
    }
  },
  evolve(state, event: DomainEvent): GroupState {
    const known = event as GroupEvent;
    if (known.type === 'GroupProvisioned' && state.status === 'absent') {
      const { members, ...group } = known.payload;
      return { status: 'present', group, members: new Set(members), names: [group.displayName] };
    }
    if (known.type === 'GroupChanged' && state.status === 'present') {
      const { added, removed, ...group } = known.payload;
      const members = new Set(state.members);
      for (const id of removed) members.delete(id);
      for (const id of added) members.add(id);
      return { status: 'present', group, members, names: namesAfter(state.names, group.displayName) };
    }
    if (known.type === 'GroupDeprovisioned' && state.status === 'present')
      return { status: 'deleted', group: state.group, members: new Set(), names: state.names };
    return impossible('group', state.status, event);
  },
};

function namesAfter(before: readonly string[], name: string): readonly string[] {
  return before.includes(name) ? before : [...before, name];
}

/** Who is in which group of the directory. A change costs what that one group has, or the groups of that one user. */
export class Directory {
  readonly #groups: ReadonlyMap<string, GroupState>;
  readonly #users: ReadonlyMap<string, UserState>;
  /** Group id → its people's names; made when they are asked for. */
  readonly #people = new Map<string, { list: DirectoryGroup; names: Set<string> }>();
  #all: DirectoryGroups | null = null;
  #list: readonly DirectoryGroup[] = [];

  constructor(groups: ReadonlyMap<string, GroupState>, users: ReadonlyMap<string, UserState>) {
    this.#groups = groups;
    this.#users = users;
  }

  groupChanged(id: string): void {
    this.#people.delete(id);
    this.#all = null;
  }

  userChanged(id: string): void {
    for (const [groupId, state] of this.#groups) if (state.status === 'present' && state.members.has(id)) this.groupChanged(groupId);
  }

  /** Every name that is the directory's, with the people who are in it. */
  groups(): DirectoryGroups {
    if (this.#all !== null) return this.#all;
    const all = new Map<string, { names: Set<string>; list: DirectoryGroup }>();
    for (const state of this.#groups.values())
      if (state.status !== 'absent') for (const name of state.names) all.set(name, { names: new Set(), list: nobody(name) });
    for (const [id, state] of this.#groups) if (state.status === 'present') all.set(state.group.displayName, this.#peopleOf(id, state));
    this.#list = [...all.values()].map(({ list }) => list).sort((a, b) => (a.name < b.name ? -1 : 1));
    this.#all = new Map([...all].map(([name, { names }]) => [name, names]));
    return this.#all;
  }

  /** The same as leases carry it; the same objects as before for groups that have not changed. */
  list(): readonly DirectoryGroup[] {
    this.groups();
    return this.#list;
  }

  #peopleOf(id: string, { group, members }: GroupState & { status: 'present' | 'deleted' }): { list: DirectoryGroup; names: Set<string> } {
    const kept = this.#people.get(id);
    if (kept !== undefined) return kept;
    const names = new Set<string>();
    for (const member of members) {
      const user = this.#users.get(member);
      if (user?.status === 'present' && user.user.active) names.add(user.user.userName.toLowerCase());
    }
    const made = { list: { name: group.displayName, members: [...names].sort() }, names };
    this.#people.set(id, made);
    return made;
  }
}

const nobodies = new Map<string, DirectoryGroup>();

/** One object for each name, so that it is encoded once. Bounded by the names that the directory may have had. */
function nobody(name: string): DirectoryGroup {
  let group = nobodies.get(name);
  if (group === undefined) {
    group = { name, members: [] };
    nobodies.set(name, group);
  }
  return group;
}
