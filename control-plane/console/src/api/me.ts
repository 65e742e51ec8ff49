/** Who is signed in, and what they may do. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { ApiError, api, hasBearer, useBearer as setBearer, useCsrf as setCsrf } from './client.ts';

export type Role = 'viewer' | 'approver' | 'operator' | 'auditor' | 'admin';

export interface Me {
  name: string;
  subject?: string;
  issuer?: string;
  kind: string;
  groups: string[];
  roles: Role[];
  csrf?: string;
}

export const meKey = ['me'] as const;

/** null: nobody is signed in. */
export async function fetchMe(): Promise<Me | null> {
  try {
    const me = await api<Me>('/v1/me');
    setCsrf(me.csrf ?? null);
    return me;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return null;
    throw error;
  }
}

export function useMe() {
  return useQuery({ queryKey: meKey, queryFn: fetchMe, staleTime: 60_000, retry: 1 });
}

/** What the shell shows for whom. The API decides; this only spares people pages that would refuse them. */
export function may(me: Me | null | undefined, ...roles: Role[]): boolean {
  if (!me) return false;
  return me.roles.includes('admin') || roles.some(role => me.roles.includes(role));
}

export function useSignOut(): () => Promise<void> {
  const client = useQueryClient();
  return async () => {
    if (!hasBearer()) await api('/auth/logout', { method: 'POST', body: {} });
    setBearer(null);
    setCsrf(null);
    client.setQueryData(meKey, null);
    // Nothing that was seen stays for whoever signs in next.
    client.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== meKey[0] });
  };
}
