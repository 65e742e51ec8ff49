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

export type UserState = { status: 'absent' } | { status: 'present' | 'deleted'; user: UserAttributes };

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
        return isDeepStrictEqual(state.user, request.user) ? grant() : grant({ type: 'UserChanged', payload: request.user });
      case 'delete':
        if (state.status === 'absent') return unknown;
        return state.status === 'deleted' ? grant() : grant({ type: 'UserDeprovisioned', payload: {} });
    }
  },
  evolve(state, event: DomainEvent): UserState {
    const known = event as UserEvent;
    if (known.type === 'UserProvisioned' && state.status === 'absent') return { status: 'present', user: known.payload };
    if (known.type === 'UserChanged' && state.status === 'present') return { status: 'present', user: known.payload };
    if (known.type === 'UserDeprovisioned' && state.status === 'present')
      return { status: 'deleted', user: { ...state.user, active: false } };
    return impossible('user', state.status, event);
  },
};

/**
 * Who is kept out: the names of users that are deleted or not active. A name that another user has and is active under is not, as when
 * somebody comes back under a new id. Names are compared without case, as directories do.
 */
export function blockedNames(users: Iterable<UserState>): string[] {
  const active = new Set<string>();
  const inactive = new Set<string>();
  for (const state of users) {
    if (state.status === 'absent') continue;
    const name = state.user.userName.toLowerCase();
    if (state.status === 'present' && state.user.active) active.add(name);
    else inactive.add(name);
  }
  return [...inactive].filter(name => !active.has(name)).sort();
}
