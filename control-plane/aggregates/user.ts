/**
 * The aggregate of one person as a directory knows them (SCIM): stream `user/ID`. Sallyport lets nobody in because a directory has them;
 * it keeps out whom the directory has taken out, whatever their tokens still say.
 *
 * A user that is deleted stays known and kept out: their tokens outlive them.
 */
import { isDeepStrictEqual } from 'node:util';
import { type Aggregate, type DomainEvent, grant, reject } from './decider.ts';
import { impossible } from './impossible.ts';

export interface UserAttributes {
  /** The name that identity providers give (`subjectClaim`). */
  userName: string;
  externalId?: string;
  displayName?: string;
  active: boolean;
}

export type UserState =
  | { status: 'absent' }
  /** `names`: every name that they ever had, in lower case: tokens with an old one may be about still. */
  | { status: 'present' | 'deleted'; user: UserAttributes; names: readonly string[] };

export type UserRequest = { type: 'create' | 'replace'; user: UserAttributes } | { type: 'delete' };

export type UserEvent =
  | { type: 'UserProvisioned' | 'UserChanged'; payload: UserAttributes }
  | { type: 'UserDeprovisioned'; payload: Record<string, never> };

const unknown = reject('USER_UNKNOWN', 'notFound', 'There is no such user.');

export const userAggregate: Aggregate<UserState, UserRequest, UserEvent> = {
  name: 'user',
  initialState: { status: 'absent' },
  decide(request, state) {
    switch (request.type) {
      case 'create':
        if (state.status !== 'absent') return reject('USER_ID_TAKEN', 'conflict', 'Another user has this id.');
        return grant({ type: 'UserProvisioned', payload: request.user });
      case 'replace':
        if (state.status !== 'present') return unknown;
        if (namesAfter(state.names, request.user).length > namesMax)
          return reject('USER_RENAMED_TOO_OFTEN', 'conflict', `A user may have had ${namesMax} names: delete this one and make another.`);
        return isDeepStrictEqual(state.user, request.user) ? grant() : grant({ type: 'UserChanged', payload: request.user });
      case 'delete':
        if (state.status === 'absent') return unknown;
        return state.status === 'deleted' ? grant() : grant({ type: 'UserDeprovisioned', payload: {} });
    }
  },
  evolve(state, event: DomainEvent): UserState {
    const known = event as UserEvent;
    if (known.type === 'UserProvisioned' && state.status === 'absent')
      return { status: 'present', user: known.payload, names: namesAfter([], known.payload) };
    if (known.type === 'UserChanged' && state.status === 'present')
      return { status: 'present', user: known.payload, names: namesAfter(state.names, known.payload) };
    if (known.type === 'UserDeprovisioned' && state.status === 'present')
      return { status: 'deleted', user: { ...state.user, active: false }, names: state.names };
    return impossible('user', state.status, event);
  },
};

const namesMax = 100;

function namesAfter(before: readonly string[], { userName }: UserAttributes): readonly string[] {
  const name = userName.toLowerCase();
  return before.includes(name) ? before : [...before, name];
}

/**
 * Who is kept out: all names that users ever had who are deleted or not active. A name that another user has now and is active under is
 * not, as when somebody comes back under a new id. Names are compared without case, as directories do.
 *
 * A change costs what that one user has, however many there are.
 */
export class KeptOut {
  /** name → how many users have it and are active, and how many had it and are not. */
  readonly #names = new Map<string, { active: number; gone: number }>();
  #sorted: readonly string[] | null = [];

  changed(before: UserState, after: UserState): void {
    for (const [name, side] of marks(before)) this.#count(name, side, -1);
    for (const [name, side] of marks(after)) this.#count(name, side, 1);
    this.#sorted = null;
  }

  has(name: string): boolean {
    const entry = this.#names.get(name.toLowerCase());
    return entry !== undefined && entry.gone > 0 && entry.active === 0;
  }

  /** Whether a user of this name is active. */
  hasActive(name: string): boolean {
    return (this.#names.get(name.toLowerCase())?.active ?? 0) > 0;
  }

  /** In lower case, sorted. */
  names(): readonly string[] {
    this.#sorted ??= [...this.#names.keys()].filter(name => this.has(name)).sort();
    return this.#sorted;
  }

  #count(name: string, side: 'active' | 'gone', by: 1 | -1): void {
    const entry = this.#names.get(name) ?? { active: 0, gone: 0 };
    entry[side] += by;
    if (entry.active === 0 && entry.gone === 0) this.#names.delete(name);
    else this.#names.set(name, entry);
  }
}

function marks(state: UserState): [name: string, side: 'active' | 'gone'][] {
  if (state.status === 'absent') return [];
  if (state.status === 'present' && state.user.active) return [[state.user.userName.toLowerCase(), 'active']];
  return state.names.map(name => [name, 'gone']);
}
