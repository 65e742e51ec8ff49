/** One manifest: to read, as YAML to edit, and its history. */
import type { Kind } from '@sallyport/shared/policy/model.ts';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { useMemo } from 'react';
import { api } from '../../api/client.ts';
import { may, useMe } from '../../api/me.ts';
import { Badge, Empty, ErrorNote, Loading, Page, Tabs } from '../../ui/basics.tsx';
import { Time } from '../../ui/format.tsx';
import { Untrusted } from '../../ui/untrusted.tsx';
import { Differences, type FieldChange } from './differences.tsx';
import { ManifestEditor } from './manifest-editor.tsx';
import { isFaithful, manifestText } from './manifest-text.ts';
import { kinds, kindTitles, type ManifestDocument } from './policies.tsx';
import { Readable } from './readable.tsx';

type View = 'read' | 'yaml' | 'history';

export function PolicyPage() {
  const { kind: asked, name } = useParams({ from: '/policies/$kind/$name' });
  const { view: wanted } = useSearch({ from: '/policies/$kind/$name' });
  const kind = kinds.find(each => each === asked) ?? 'Role';
  const navigate = useNavigate();
  const isNew = wanted === 'new';
  const manifest = useQuery({
    queryKey: ['manifests', kind, name],
    queryFn: ({ signal }) => api<ManifestDocument>(`/v1/manifests/${kind}/${encodeURIComponent(name)}`, { signal }),
    enabled: !isNew,
  });
  const view: View = wanted === 'yaml' || wanted === 'history' ? wanted : 'read';
  const set = (next: View) =>
    void navigate({ to: '/policies/$kind/$name', params: { kind, name }, search: next === 'read' ? {} : { view: next }, replace: true });
  return (
    <Page
      title={
        <span className="row">
          <Link to="/policies/$kind" params={{ kind }} className="softer">
            {kindTitles[kind].title}
          </Link>
          <span className="softer">/</span>
          {isNew ? `New ${kind}` : <Untrusted text={name} />}
        </span>
      }
      actions={
        !isNew && (
          <Tabs<View>
            label="View"
            value={view}
            onChange={set}
            options={[
              { value: 'read', label: 'Read' },
              { value: 'yaml', label: 'YAML' },
              { value: 'history', label: 'History' },
            ]}
          />
        )
      }
    >
      {isNew ? (
        <NewManifest kind={kind} />
      ) : manifest.isPending ? (
        <Loading />
      ) : manifest.isError ? (
        <ErrorNote error={manifest.error} retry={() => void manifest.refetch()} />
      ) : view === 'history' ? (
        <History kind={kind} name={name} />
      ) : view === 'yaml' ? (
        <Yaml manifest={manifest.data} />
      ) : (
        <div className="pad col narrow" style={{ gap: 14 }}>
          <Readable kind={kind} spec={manifest.data.spec} />
          <p className="softer">
            Version {manifest.data.status.version}, <Time at={manifest.data.status.updatedAt} /> by{' '}
            <Untrusted text={manifest.data.status.author} />
          </p>
        </div>
      )}
    </Page>
  );
}

function Yaml({ manifest }: { manifest: ManifestDocument }) {
  const me = useMe();
  const client = useQueryClient();
  const text = useMemo(() => manifestText(manifest), [manifest]);
  const faithful = useMemo(() => isFaithful(manifest, text, 'console.yaml'), [manifest, text]);
  return (
    <ManifestEditor
      key={manifest.status.version}
      kind={manifest.kind}
      text={text}
      mayApply={may(me.data, 'admin')}
      note={
        faithful
          ? ''
          : 'What was sealed or read from files cannot be shown: where a field says nothing of it, give it again before you apply.'
      }
      onApplied={() => void client.invalidateQueries({ queryKey: ['manifests'] })}
    />
  );
}

const templates: Partial<Record<Kind, string>> = {
  Role: `spec:
  members: { groups: [] }
  resources: { names: [] }
  session: { maxDuration: 8h, idleTimeout: 30m }
`,
  Guard: `spec:
  resources: { names: [] }
  rules:
    - name: no-schema-changes
      match: { statements: [drop, truncate, alter] }
      action: deny
      message: Schema changes go through migrations.
`,
  DataPolicy: `spec:
  resources: { names: [] }
  columns:
    - { match: public.customers.email, action: mask, as: partial }
  detectors: [secrets, email]
`,
  IdentityProvider: `spec:
  oidc:
    issuer: https://login.example.com/realms/company
    audiences: [sallyport]
    subjectClaim: email
    groupsClaim: groups
    clientId: sallyport
`,
  Credential: `spec:
  username: app
  password: { value: "" } # sealed when it is applied, and shown to nobody again
`,
  Resource: `spec:
  protocol: postgres
  upstream: { address: "db.internal:5432", database: app, tls: { mode: require } }
  credential: new-credential
`,
};

function NewManifest({ kind }: { kind: Kind }) {
  const me = useMe();
  const client = useQueryClient();
  const navigate = useNavigate();
  const text = `apiVersion: sallyport.dev/v1\nkind: ${kind}\nmetadata: { name: new-${kind.toLowerCase()} }\n${templates[kind] ?? 'spec:\n  \n'}`;
  return (
    <ManifestEditor
      kind={kind}
      text={text}
      mayApply={may(me.data, 'admin')}
      note=""
      isNew
      onApplied={name => {
        void client.invalidateQueries({ queryKey: ['manifests'] });
        void navigate({ to: '/policies/$kind/$name', params: { kind, name }, search: {} });
      }}
    />
  );
}

interface HistoryChange {
  version: number;
  change: 'created' | 'changed' | 'deleted';
  at: string;
  author: string;
  address: string;
  reason: string;
  diff: FieldChange[];
  secrets: string[];
}

function History({ kind, name }: { kind: Kind; name: string }) {
  const history = useQuery({
    queryKey: ['history', kind, name],
    queryFn: ({ signal }) => api<{ changes: HistoryChange[] }>(`/v1/history/${kind}/${encodeURIComponent(name)}`, { signal }),
  });
  if (history.isPending) return <Loading />;
  if (history.isError) return <ErrorNote error={history.error} retry={() => void history.refetch()} />;
  if (history.data.changes.length === 0) return <Empty icon="clock" title="No history" />;
  const tones = { created: 'good', changed: 'info', deleted: 'bad' } as const;
  return (
    <ol className="pad col narrow" style={{ gap: 16 }}>
      {history.data.changes.map(change => (
        <li key={change.version} className="card">
          <header>
            <Badge tone={tones[change.change]}>{change.change}</Badge>
            <strong>
              <Untrusted text={change.author} />
            </strong>
            <span className="softer">
              <Time at={change.at} />
              {change.address !== '' && (
                <>
                  {' from '}
                  <Untrusted text={change.address} />
                </>
              )}
            </span>
            <span className="grow" />
            <span className="softer">version {change.version}</span>
          </header>
          <div className="body col">
            {change.reason !== '' && (
              <p>
                <Untrusted text={change.reason} />
              </p>
            )}
            <Differences changes={change.diff} />
            {change.secrets.length > 0 && (
              <p className="softer">
                Secrets: <Untrusted text={change.secrets.join(', ')} />
              </p>
            )}
          </div>
        </li>
      ))}
    </ol>
  );
}
