/** The first page: of an installation that protects nothing yet the way there, else the sessions. */
import { useQuery } from '@tanstack/react-query';
import { Navigate } from '@tanstack/react-router';
import { api } from '../api/client.ts';
import { may, useMe } from '../api/me.ts';
import type { Resource } from '../api/types.ts';
import { Loading } from '../ui/basics.tsx';

export function HomePage() {
  const me = useMe();
  const mayRead = may(me.data, 'viewer', 'operator', 'auditor');
  const resources = useQuery({
    queryKey: ['resources'],
    queryFn: ({ signal }) => api<{ resources: Resource[] }>('/v1/resources', { signal }),
    enabled: mayRead,
    retry: false,
    refetchOnMount: 'always',
  });
  const isEmpty = mayRead && (resources.data?.resources.length ?? 0) === 0 && !resources.isError;
  // That there was nothing a while ago says nothing.
  if (isEmpty && resources.isFetching) return <Loading />;
  return <Navigate to={isEmpty ? '/start' : '/sessions'} replace />;
}
