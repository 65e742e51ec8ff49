/** Registered public keys: one's own, of everybody for administrators; when each was last used, and its end. */
import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, withQuery } from '../../api/client.ts';
import { type Me, may, useMe } from '../../api/me.ts';
import { Badge, Button, Empty, ErrorNote, Loading, Page, QueryLink } from '../../ui/basics.tsx';
import { DataTable, type TableColumn } from '../../ui/data-table.tsx';
import { FormDialog, TextField } from '../../ui/form-dialog.tsx';
import { Ago, compact, parseTime, Time } from '../../ui/format.tsx';
import { useShortcuts } from '../../ui/keyboard.ts';
import { quoted } from '../../ui/quoted.ts';
import { toast } from '../../ui/toast.tsx';
import { Untrusted } from '../../ui/untrusted.tsx';
import { Who } from '../sessions/columns.tsx';
import { RegisterKey } from './register-key.tsx';

interface SshKey {
  id: string;
  fingerprint: string;
  type: string;
  label: string;
  principal: string;
  principalKind: string;
  registeredAt: string;
  registeredBy: string;
  expiresAt: string;
  /** null: never; absent: the session store does not answer. */
  lastUsedAt?: string | null;
  lastUsedFrom?: string | null;
  sessions?: number;
}

export const sshKeysKey = ['ssh-keys'] as const;
const pageRows = 200;
/** A key that ends sooner is worth a look. */
const soonMs = 7 * 24 * 3600 * 1000;

export function SshKeysPage() {
  const me = useMe();
  const keys = useInfiniteQuery({
    queryKey: sshKeysKey,
    queryFn: ({ signal, pageParam }) =>
      api<{ keys: SshKey[]; next: string | null }>(
        withQuery('/v1/ssh/keys', { limit: pageRows, ...(pageParam === '' ? {} : { cursor: pageParam }) }),
        { signal },
      ),
    initialPageParam: '',
    getNextPageParam: ({ next }) => next ?? undefined,
  });
  const [asking, setAsking] = useState<'register' | SshKey | null>(null);
  const mayRegister = me.data != null && (me.data.kind === 'person' || may(me.data, 'admin'));
  const register = () => setAsking('register');
  useShortcuts(mayRegister ? [{ keys: 'n', label: 'Register a key', run: register }] : []);
  const rows = keys.data?.pages.flatMap(page => page.keys) ?? [];
  return (
    <Page
      title="SSH keys"
      actions={
        mayRegister && (
          <Button look="primary" icon="plus" onClick={register}>
            Register a key <kbd className="only-wide">N</kbd>
          </Button>
        )
      }
    >
      {keys.isPending && <Loading />}
      {keys.isError && !keys.data && <ErrorNote error={keys.error} retry={() => void keys.refetch()} />}
      {keys.isSuccess && rows.length === 0 && (
        <Empty icon="key" title="No public key is registered">
          <p>
            A registered key opens what its holder may use, where a resource says <code>publicKeys: registered</code>. Nobody needs one: a
            ticket, a certificate or the browser do as well.
          </p>
        </Empty>
      )}
      {rows.length > 0 && me.data && (
        <div className="pad col">
          <DataTable label="SSH keys" rows={rows} keyOf={({ id }) => id} columns={columns(me.data, setAsking)} />
          {keys.hasNextPage && (
            <Button onClick={() => void keys.fetchNextPage()} disabled={keys.isFetchingNextPage}>
              Show more
            </Button>
          )}
          <p className="soft">
            A key opens what its holder may use now, where a resource says <code>publicKeys: registered</code>.
          </p>
        </div>
      )}
      {asking === 'register' && me.data && <RegisterKey me={me.data} onClose={() => setAsking(null)} />}
      {asking !== null && asking !== 'register' && <Remove sshKey={asking} onClose={() => setAsking(null)} />}
    </Page>
  );
}

function columns(me: Me, remove: (key: SshKey) => void): TableColumn<SshKey>[] {
  const ofAll: TableColumn<SshKey> = {
    title: 'For',
    cell: ({ principal, principalKind }) => <Who name={principal} kind={principalKind} />,
  };
  return [
    {
      title: 'Key',
      cell: ({ fingerprint, label, type }) => (
        <div className="col" style={{ gap: 2 }}>
          <span className="row wrap">
            <Untrusted text={label === '' ? 'without a label' : label} /> <Badge>{type}</Badge>
          </span>
          <code className="softer anywhere">{fingerprint}</code>
        </div>
      ),
    },
    ...(may(me, 'admin') ? [ofAll] : []),
    {
      title: 'Registered',
      cell: ({ registeredAt, registeredBy, principal }) => (
        <>
          <Time at={registeredAt} />
          {registeredBy !== principal && (
            <span className="softer">
              {' '}
              by <Untrusted text={registeredBy} />
            </span>
          )}
        </>
      ),
    },
    {
      title: 'Last used',
      cell: ({ lastUsedAt, lastUsedFrom, sessions = 0, principal }) =>
        lastUsedAt === undefined ? (
          <span className="softer" title="The session store does not answer">
            ?
          </span>
        ) : lastUsedAt === null ? (
          <span className="softer">never</span>
        ) : (
          <>
            <Ago at={lastUsedAt} />
            <span className="softer">
              {' '}
              from <Untrusted text={lastUsedFrom ?? '?'} />,{' '}
            </span>
            <QueryLink query={`who:${quoted(principal)} protocol:ssh`}>
              {compact(sessions)} {sessions === 1 ? 'session' : 'sessions'}
            </QueryLink>
          </>
        ),
    },
    {
      title: 'Ends',
      cell: ({ expiresAt }) => (
        <span className={parseTime(expiresAt).getTime() - Date.now() < soonMs ? 'value wait' : undefined}>
          <Ago at={expiresAt} />
        </span>
      ),
    },
    {
      title: 'Remove',
      titleHidden: true,
      right: true,
      cell: key => (
        <Button look="quiet" onClick={() => remove(key)}>
          Remove
        </Button>
      ),
    },
  ];
}

function Remove({ sshKey, onClose }: { sshKey: SshKey; onClose: () => void }) {
  const client = useQueryClient();
  const remove = async (text: (name: string) => string) => {
    const reason = text('reason');
    await api(`/v1/ssh/keys/${encodeURIComponent(sshKey.id)}/remove`, { method: 'POST', body: reason === '' ? {} : { reason } });
    await client.invalidateQueries({ queryKey: sshKeysKey });
    toast('Removed: agents refuse it from now on.');
    onClose();
  };
  return (
    <FormDialog title="Remove this key" submit="Remove the key" danger cancel="Keep it" onSubmit={remove} onClose={onClose}>
      <p>
        <Untrusted text={sshKey.label === '' ? sshKey.fingerprint : sshKey.label} /> of <Untrusted text={sshKey.principal} /> opens nothing
        from then on, and the sessions that it has opened end.
      </p>
      <TextField name="reason" label="Reason" longest={500} first />
    </FormDialog>
  );
}
