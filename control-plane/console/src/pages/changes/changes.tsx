/** Changes of policy that somebody proposed: what they would make of the manifests, and the second person's answer. */
import type { ReplayReport } from '@sallyport/shared/rehearsal/replay-report.ts';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate, useParams } from '@tanstack/react-router';
import { type FormEvent, useRef, useState } from 'react';
import { api } from '../../api/client.ts';
import { type Me, may, useMe } from '../../api/me.ts';
import { Badge, Button, Empty, ErrorNote, Loading, Note, type Tone } from '../../ui/basics.tsx';
import { Ago } from '../../ui/format.tsx';
import { useShortcuts } from '../../ui/keyboard.ts';
import { ListAndDetail } from '../../ui/list-and-detail.tsx';
import { toast } from '../../ui/toast.tsx';
import { Untrusted } from '../../ui/untrusted.tsx';
import { Differences, type FieldChange } from '../policies/differences.tsx';
import { manifestText, type StoredDocument } from '../policies/manifest-text.ts';
import { ReplayResult } from '../workbench/simulate-policy.tsx';

interface Change {
  id: string;
  state: 'proposed' | 'approved' | 'applied' | 'rejected' | 'withdrawn' | 'stale';
  author: { kind: string; name: string };
  reason: string;
  proposedAt: string;
  changes: { kind: string; name: string; change: string; diff: FieldChange[] }[];
  answer: { by: string; reason: string; at: string } | null;
  moved: string[];
}

const tones: Readonly<Record<Change['state'], Tone | undefined>> = {
  ...{ proposed: 'wait', approved: 'good', applied: 'good', rejected: 'bad', withdrawn: undefined, stale: 'bad' },
};

export function ChangesPage() {
  const me = useMe();
  const { id } = useParams({ strict: false });
  const navigate = useNavigate();
  const changes = useQuery({
    queryKey: ['changes'],
    queryFn: ({ signal }) => api<{ changes: Change[] }>('/v1/changes?state=all', { signal }),
  });
  const list = [...(changes.data?.changes ?? [])].sort((a, b) => Number(b.state === 'proposed') - Number(a.state === 'proposed'));
  const open = (next: string | undefined) =>
    void (next === undefined ? navigate({ to: '/changes' }) : navigate({ to: '/changes/$id', params: { id: next } }));
  const before = changes.isPending ? (
    <Loading />
  ) : changes.isError ? (
    <ErrorNote error={changes.error} retry={() => void changes.refetch()} />
  ) : list.length === 0 && id === undefined ? (
    <Empty icon="shield" title="No change of policy was proposed">
      <p>
        <code>sallyport apply --propose --reason WHY -f policy/</code> proposes one; somebody else with the role admin approves it here.
      </p>
    </Empty>
  ) : null;
  return (
    <ListAndDetail
      title="Changes"
      label="Changes"
      whenEmpty="No change is proposed."
      list={list}
      current={id}
      onOpen={open}
      before={before}
      item={(change, isCurrent) => <Item key={change.id} change={change} current={isCurrent} onOpen={() => open(change.id)} />}
      detail={
        id !== undefined && me.data ? (
          <ChangeDetails key={id} id={id} me={me.data} />
        ) : (
          <Empty icon="shield" title={`${list.filter(({ state }) => state === 'proposed').length} for review`}>
            <p>
              <kbd>J</kbd> and <kbd>K</kbd> go through them.
            </p>
          </Empty>
        )
      }
    />
  );
}

function StateBadge({ change: { state, moved } }: { change: Change }) {
  const shown = state === 'proposed' && moved.length > 0 ? 'stale' : state;
  return <Badge tone={tones[shown]}>{shown === 'proposed' ? 'for review' : shown}</Badge>;
}

function Item({ change, current, onOpen }: { change: Change; current: boolean; onOpen: () => void }) {
  return (
    <button type="button" className="item" aria-current={current} onClick={onOpen}>
      <span className="row spread">
        <span className="truncate">
          <Untrusted text={change.author.name} />
        </span>
        <StateBadge change={change} />
      </span>
      <span className="item-text truncate">
        <Untrusted text={change.reason} />
      </span>
      <span className="row softer truncate">
        <Untrusted text={change.changes.map(({ kind, name }) => `${kind} ${name}`).join(', ')} />
      </span>
    </button>
  );
}

function ChangeDetails({ id, me }: { id: string; me: Me }) {
  const client = useQueryClient();
  const change = useQuery({
    queryKey: ['change', id],
    queryFn: ({ signal }) => api<Change & { documents: StoredDocument[] }>(`/v1/changes/${id}`, { signal }),
  });
  const [refused, setRefused] = useState('');
  const [busy, setBusy] = useState(false);
  const reason = useRef<HTMLInputElement>(null);
  const shown = change.data;
  const isOwn = shown?.author.name === me.name;
  const isOpen = shown?.state === 'proposed';
  const mayAnswer = isOpen && may(me, 'admin') && me.kind === 'person' && !isOwn;
  const answer = async (verb: 'approve' | 'reject' | 'withdraw') => {
    const why = reason.current?.value.trim() ?? '';
    setBusy(true);
    setRefused('');
    try {
      await api(`/v1/changes/${id}/${verb}`, { method: 'POST', body: why === '' ? {} : { reason: why } });
      toast({ approve: 'Approved and applied.', reject: 'Rejected.', withdraw: 'Taken back.' }[verb]);
    } catch (error) {
      setRefused(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
      await Promise.all([['changes'], ['change', id]].map(queryKey => client.invalidateQueries({ queryKey })));
    }
  };
  useShortcuts(mayAnswer ? [{ keys: 'a', label: 'Answer', run: () => reason.current?.focus() }] : []);
  if (change.isPending) return <Loading />;
  if (change.isError || shown === undefined) return <ErrorNote error={change.error} retry={() => void change.refetch()} />;
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    void answer('approve');
  };
  return (
    <section className="pad col" aria-label="Change" style={{ gap: 14 }}>
      <div className="col" style={{ gap: 4 }}>
        <h2 className="row spread">
          <Untrusted text={shown.reason} />
          <StateBadge change={shown} />
        </h2>
        <span className="softer">
          proposed by <Untrusted text={shown.author.name} /> <Ago at={shown.proposedAt} />
          {shown.answer && (
            <>
              , answered by <Untrusted text={shown.answer.by} /> <Ago at={shown.answer.at} />
              {shown.answer.reason !== '' && (
                <>
                  : <Untrusted text={shown.answer.reason} />
                </>
              )}
            </>
          )}
        </span>
      </div>
      {shown.moved.length > 0 && (
        <Note tone="bad">
          Since it was proposed, <Untrusted text={shown.moved.join(', ')} /> has changed. It is not applied any more: it has to be proposed
          anew.
        </Note>
      )}
      {shown.changes.map(({ kind, name, change: what, diff }) => (
        <div key={`${kind} ${name}`} className="col" style={{ gap: 4 }}>
          <div className="row">
            <Badge tone={what === 'deleted' ? 'bad' : 'info'}>{what}</Badge>
            {kind} <Untrusted text={name} />
          </div>
          {what === 'created' ? (
            <Created document={shown.documents.find(each => each.kind === kind && each.metadata.name === name)} />
          ) : (
            <Differences changes={diff} whole />
          )}
        </div>
      ))}
      {isOpen && may(me, 'auditor') && <Simulation documents={shown.documents} />}
      {refused !== '' && (
        <Note tone="bad">
          <Untrusted text={refused} />
        </Note>
      )}
      {isOpen && isOwn && (
        <div className="row wrap">
          <Note>This is yours: somebody else has to approve it.</Note>
          <Button disabled={busy} onClick={() => void answer('withdraw')}>
            Take it back
          </Button>
        </div>
      )}
      {mayAnswer && (
        <form className="col" onSubmit={submit}>
          <div className="field">
            <label htmlFor="change-reason">Reason</label>
            <input id="change-reason" ref={reason} className="input" maxLength={500} autoComplete="off" />
          </div>
          <div className="row wrap answer-change">
            <Button look="danger" disabled={busy} onClick={() => void answer('reject')}>
              Reject
            </Button>
            <button type="submit" className="button primary" disabled={busy || shown.moved.length > 0}>
              Approve and apply
            </button>
          </div>
        </form>
      )}
    </section>
  );
}

/** All of it: who approves answers for every line. */
function Created({ document }: { document: StoredDocument | undefined }) {
  if (document === undefined) return null;
  return (
    <div className="diff">
      {manifestText(document)
        .trimEnd()
        .split('\n')
        .map((line, index) => (
          <div key={index} className="add">
            + <Untrusted text={line} />
          </div>
        ))}
    </div>
  );
}

const simulated = new Set(['Role', 'Guard', 'DataPolicy']);

/** What recorded traffic of the last week would have met. */
function Simulation({ documents }: { documents: readonly StoredDocument[] }) {
  const [asked, setAsked] = useState(false);
  const manifests = documents
    .filter(({ kind }) => simulated.has(kind))
    .map(document => ({ file: `${document.kind}-${document.metadata.name}.yaml`, text: manifestText(document) }));
  const replay = useQuery({
    queryKey: ['change-replay', manifests],
    queryFn: ({ signal }) => api<ReplayReport>('/v1/policy/simulate', { method: 'POST', body: { manifests, since: '7d' }, signal }),
    enabled: asked,
    retry: false,
    staleTime: Number.POSITIVE_INFINITY,
  });
  if (manifests.length === 0) return null;
  return (
    <section className="col" aria-label="Replay">
      <div className="row">
        <Button icon="play" disabled={asked && replay.isPending} onClick={() => setAsked(true)}>
          Replay the last week under it
        </Button>
      </div>
      {asked && replay.isPending && (
        <p className="softer" role="status">
          Replaying …
        </p>
      )}
      {replay.isError && <ErrorNote error={replay.error} />}
      {replay.data && <ReplayResult report={replay.data} />}
    </section>
  );
}
