/** Who may use what, what may be done, what may be seen: the manifests in force, by kind. */
import type { Kind } from '@sallyport/shared/policy/model.ts';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { api } from '../../api/client.ts';
import { may, useMe } from '../../api/me.ts';
import { Button, Empty, ErrorNote, Loading, Page } from '../../ui/basics.tsx';
import { DataTable } from '../../ui/data-table.tsx';
import { Time } from '../../ui/format.tsx';
import { useShortcuts } from '../../ui/keyboard.ts';
import { Untrusted } from '../../ui/untrusted.tsx';
import { summary } from './summary.ts';

export interface ManifestDocument {
  apiVersion: string;
  kind: Kind;
  metadata: { name: string; labels: Record<string, string> };
  spec: unknown;
  status: { version: number; updatedAt: string; author: string };
}

export const kindTitles: Readonly<Record<Kind, { title: string; says: string }>> = {
  Role: { title: 'Roles', says: 'who may use what' },
  Guard: { title: 'Guards', says: 'what may be done' },
  DataPolicy: { title: 'Data policies', says: 'what may be seen' },
  AuditPolicy: { title: 'Audit policies', says: 'what is kept' },
  AccessPolicy: { title: 'Access policies', says: 'who may do what in Sallyport itself' },
  Resource: { title: 'Resources', says: 'what is protected' },
  Credential: { title: 'Credentials', says: 'what agents sign in with' },
  IdentityProvider: { title: 'Identity providers', says: 'who vouches for people' },
  ServiceAccount: { title: 'Service accounts', says: 'programs with a name' },
  Channel: { title: 'Channels', says: 'where approvals are told' },
} as Record<Kind, { title: string; says: string }>;

export const kinds = Object.keys(kindTitles) as Kind[];

export function PoliciesPage() {
  const { kind: asked } = useParams({ from: '/policies/$kind' });
  const kind = kinds.find(each => each === asked) ?? 'Role';
  const me = useMe();
  const navigate = useNavigate();
  const manifests = useQuery({
    queryKey: ['manifests', kind],
    queryFn: ({ signal }) => api<{ manifests: ManifestDocument[] }>(`/v1/manifests/${kind}?limit=1000`, { signal }),
  });
  const mayEdit = may(me.data, 'admin');
  const create = () => void navigate({ to: '/policies/$kind/$name', params: { kind, name: 'new' }, search: { view: 'new' } });
  useShortcuts(mayEdit ? [{ keys: 'n', label: `New ${kind}`, run: create }] : []);
  const list = manifests.data?.manifests ?? [];
  return (
    <Page
      title="Policies"
      actions={
        mayEdit && (
          <Button look="primary" icon="plus" onClick={create}>
            New {kind} <kbd className="only-wide">N</kbd>
          </Button>
        )
      }
    >
      <nav className="tabs" aria-label="Kinds">
        {kinds.map(each => (
          <Link key={each} to="/policies/$kind" params={{ kind: each }} aria-current={each === kind ? 'page' : undefined}>
            {kindTitles[each].title}
          </Link>
        ))}
      </nav>
      {manifests.isPending && <Loading />}
      {manifests.isError && <ErrorNote error={manifests.error} retry={() => void manifests.refetch()} />}
      {manifests.isSuccess && list.length === 0 && (
        <Empty icon="shield" title={`No ${kindTitles[kind].title.toLowerCase()}`}>
          <p>They say {kindTitles[kind].says}.</p>
        </Empty>
      )}
      {list.length > 0 && (
        <div className="pad">
          <DataTable
            label={kindTitles[kind].title}
            rows={list}
            keyOf={({ metadata }) => metadata.name}
            onOpen={({ metadata }) => void navigate({ to: '/policies/$kind/$name', params: { kind, name: metadata.name } })}
            columns={[
              {
                title: 'Name',
                cell: ({ metadata: { name } }) => (
                  <Link className="link" to="/policies/$kind/$name" params={{ kind, name }}>
                    <Untrusted text={name} />
                  </Link>
                ),
              },
              {
                title: 'Says',
                cell: ({ spec }) => (
                  <span className="soft">
                    <Untrusted text={summary(kind, spec)} />
                  </span>
                ),
              },
              { title: 'Changed', cell: ({ status }) => <Time at={status.updatedAt} /> },
              {
                title: 'By',
                cell: ({ status }) => (
                  <span className="softer">
                    <Untrusted text={status.author} />
                  </span>
                ),
              },
            ]}
          />
        </div>
      )}
    </Page>
  );
}
