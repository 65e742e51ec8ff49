/** One session, of whatever protocol: who it was, what was asked and decided, what came back. */
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { Fragment, type ReactNode, useMemo } from 'react';
import { api } from '../../api/client.ts';
import { useIsLive } from '../../api/events.ts';
import { may, useMe } from '../../api/me.ts';
import type { RecordedCommand, Session } from '../../api/types.ts';
import { Button, Empty, ErrorNote, Loading, Note, Page, QueryLink, Tabs } from '../../ui/basics.tsx';
import { Ago, compact, duration, number, Time } from '../../ui/format.tsx';
import { Icon } from '../../ui/icon.tsx';
import { useShortcuts } from '../../ui/keyboard.ts';
import { quoted } from '../../ui/quoted.ts';
import { Untrusted } from '../../ui/untrusted.tsx';
import { lengthUs, StatusBadge, Who } from '../sessions/columns.tsx';
import { EvidenceStatus } from './evidence-status.tsx';
import { KillSession } from './kill-session.tsx';
import { LiveTerminal } from './live-terminal.tsx';
import { Recording } from './recording.tsx';
import { Timeline } from './timeline.tsx';

interface Answer {
  session: Session;
  commands: RecordedCommand[];
  store: { status: 'up' | 'down' | 'none'; detail?: string };
}

/** How often the end of a session is looked for that is not live any more; an agent that is gone never tells of it. */
const endPollsMax = 40;

const filters = {
  all: { label: 'All', holds: () => true },
  denied: { label: 'Denied', holds: ({ decision }) => decision === 'deny' },
  held: { label: 'Held', holds: ({ decision, approvers }) => decision === 'hold' || approvers.length > 0 },
  masked: { label: 'Masked', holds: ({ maskedValues }) => maskedValues > 0 },
  errors: { label: 'Errors', holds: ({ status }) => status === 'error' },
} as const satisfies Record<string, { label: string; holds: (command: RecordedCommand) => boolean }>;
type Filter = keyof typeof filters;

export function SessionPage() {
  const { id } = useParams({ from: '/sessions/$id' });
  const { seq, find = '', only, view: wanted } = useSearch({ from: '/sessions/$id' });
  const navigate = useNavigate();
  const live = useIsLive();
  const me = useMe();
  const answer = useQuery({
    queryKey: ['session', id],
    queryFn: ({ signal }) => api<Answer>(`/v1/sessions/${encodeURIComponent(id)}`, { signal }),
    // Records of an open session come in all the time; right after its end the last ones are still on their way.
    refetchInterval: query => {
      const session = query.state.data?.session;
      if (session?.live) return live ? 4000 : 2000;
      return session?.endedAt === null && query.state.dataUpdateCount < endPollsMax ? 1500 : false;
    },
  });
  const filter: Filter = only !== undefined && only in filters ? (only as Filter) : 'all';
  const commands = answer.data?.commands;
  const shown = useMemo(() => {
    const wanted = find.trim().toLowerCase();
    return (commands ?? []).filter(
      command => filters[filter].holds(command) && (wanted === '' || command.text.toLowerCase().includes(wanted)),
    );
  }, [commands, filter, find]);
  const set = (change: { seq?: string | undefined; find?: string; only?: string; view?: string }) => {
    const next = Object.fromEntries(Object.entries({ seq, find, only, view: wanted, ...change }).filter(([, value]) => value));
    void navigate({ to: '/sessions/$id', params: { id }, search: next, replace: true });
  };
  if (answer.isPending) {
    return (
      <Page title="Session">
        <Loading rows={12} />
      </Page>
    );
  }
  if (answer.isError) {
    return (
      <Page title="Session">
        <ErrorNote error={answer.error} retry={() => void answer.refetch()} />
      </Page>
    );
  }
  const { session, store } = answer.data;
  // Who asks for one command, or for some of them, wants the list.
  const terminal = (commands ?? []).find(({ kind }) => kind === 'ssh-shell');
  const view = wanted === 'commands' || seq !== undefined || only !== undefined || find !== '' ? 'commands' : 'terminal';
  // Terminals are those of hosts; nobody watches their own session.
  const mayWatch = session.protocol === 'ssh' && may(me.data, 'auditor') && me.data?.name !== session.principal;
  const watches = wanted === 'watch' && mayWatch;
  const count = (name: Filter) => (commands ?? []).filter(filters[name].holds).length;
  return (
    <Page
      title={
        <span className="row">
          <Link to="/sessions" className="softer" aria-label="All sessions">
            Sessions
          </Link>
          <span className="softer">/</span>
          <Untrusted text={session.principal} />
          <span className="softer">on</span>
          <Untrusted text={session.resource} />
          <StatusBadge session={session} />
        </span>
      }
      actions={
        session.live && (
          <>
            {mayWatch && wanted !== 'watch' && <WatchSession onWatch={() => set({ view: 'watch' })} />}
            {may(me.data, 'operator') && <KillSession session={session} />}
          </>
        )
      }
    >
      {store.status === 'down' && (
        <div className="pad">
          <Note tone="wait">{store.detail}</Note>
        </div>
      )}
      <div className="session">
        <section className="session-main">
          <div className="row wrap session-bar">
            {terminal !== undefined && (
              <Tabs
                label="View"
                value={view}
                onChange={next => set({ view: next === 'terminal' ? '' : next })}
                options={[
                  { value: 'terminal', label: 'Terminal' },
                  { value: 'commands', label: 'Commands' },
                ]}
              />
            )}
            {(terminal === undefined || view === 'commands') && (
              <>
                <Tabs
                  label="Which commands"
                  value={filter}
                  onChange={next => set({ only: next === 'all' ? '' : next })}
                  options={(Object.keys(filters) as Filter[]).map(name => ({
                    value: name,
                    label: (
                      <>
                        {filters[name].label} <span className="softer">{compact(count(name))}</span>
                      </>
                    ),
                  }))}
                />
                <input
                  className="input find"
                  type="search"
                  aria-label="Find in this session"
                  placeholder="Find in this session"
                  value={find}
                  onChange={event => set({ find: event.target.value })}
                />
              </>
            )}
          </div>
          {watches ? (
            <LiveTerminal sessionId={session.sessionId} onLeave={() => set({ view: '' })} />
          ) : terminal !== undefined && view === 'terminal' ? (
            <Recording key={terminal.seq} shell={terminal} commands={commands ?? []} />
          ) : shown.length > 0 ? (
            <Timeline
              commands={shown}
              openSeq={seq === undefined ? null : Number(seq)}
              onOpen={next => set({ seq: next === null ? undefined : String(next) })}
            />
          ) : (
            <NoCommands session={session} filtered={(commands?.length ?? 0) > 0} />
          )}
        </section>
        <aside className="session-side" aria-label="About the session">
          <About session={session} />
          {may(me.data, 'auditor') && <EvidenceStatus key={session.sessionId} session={session} />}
        </aside>
      </div>
    </Page>
  );
}

function WatchSession({ onWatch }: { onWatch: () => void }) {
  useShortcuts([{ keys: 'w', label: 'Watch the session', run: onWatch }]);
  return (
    <Button icon="eye" onClick={onWatch}>
      Watch <kbd className="only-wide">W</kbd>
    </Button>
  );
}

function NoCommands({ session, filtered }: { session: Session; filtered: boolean }) {
  const me = useMe();
  if (filtered) return <Empty icon="search" title="Nothing here fits" />;
  if (session.commands > 0 && !may(me.data, 'auditor') && me.data?.name !== session.principal) {
    return (
      <Empty icon="shield" title="Not yours to read">
        <p>What was done in a session is for whoever did it and for auditors.</p>
      </Empty>
    );
  }
  return (
    <Empty icon="sessions" title={session.live ? 'Nothing asked yet' : 'Nothing was asked'}>
      <p>
        {session.status === 'refused' ? (
          <Untrusted text={session.endReason ?? 'The session was refused.'} />
        ) : (
          'Commands are here a moment after they are sent.'
        )}
      </p>
    </Empty>
  );
}

function About({ session }: { session: Session }) {
  const facts: [string, ReactNode][] = [
    [
      'Who',
      <Link key="who" to="/sessions" search={{ q: `who:${quoted(session.principal)}` }}>
        <Who name={session.principal} kind={session.principalKind} />
      </Link>,
    ],
  ];
  if ((session.delegation ?? []).length > 0)
    facts.push(['Acts for', <Untrusted key="for" text={(session.delegation ?? []).join(' → ')} />]);
  if ((session.groups ?? []).length > 0) facts.push(['Groups', <Untrusted key="groups" text={(session.groups ?? []).join(', ')} />]);
  facts.push(
    [
      'Resource',
      <QueryLink key="resource" query={`resource:${quoted(session.resource)}`}>
        <Untrusted text={session.resource} />
      </QueryLink>,
    ],
    ['Role', <Untrusted key="role" text={session.role} />],
    [
      'Began',
      <>
        <Time at={session.startedAt} /> <span className="softer">(</span>
        <Ago at={session.startedAt} />
        <span className="softer">)</span>
      </>,
    ],
  );
  if (session.endedAt !== null)
    facts.push([
      'Ended',
      <>
        <Time at={session.endedAt} /> <span className="softer">after</span> {duration(lengthUs(session))}
      </>,
    ]);
  if (session.endReason) facts.push(['Why it ended', <Untrusted key="end" text={session.endReason} />]);
  facts.push(
    ['From', <Untrusted key="from" text={session.clientAddress} />],
    ['Agent', <Untrusted key="agent" text={session.agent} />],
    [
      'Session',
      <code key="id" className="id">
        {session.sessionId}
      </code>,
    ],
  );
  if (session.tokenId)
    facts.push([
      'Token',
      <code key="token" className="id">
        <Untrusted text={session.tokenId} />
      </code>,
    ]);
  return (
    <>
      <div className="grid session-sums">
        <Sum label="commands" value={session.commands} />
        <Sum label="denied" value={session.denied} tone={session.denied > 0 ? 'bad' : ''} />
        <Sum label="masked" value={session.maskedValues} tone={session.maskedValues > 0 ? 'mask' : ''} />
      </div>
      <dl className="facts">
        {facts.map(([name, value]) => (
          <Fragment key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </Fragment>
        ))}
      </dl>
      {session.live && (
        <span className="row softer">
          <Icon name="clock" /> Open now; the list follows.
        </span>
      )}
    </>
  );
}

function Sum({ label, value, tone = '' }: { label: string; value: number; tone?: string }) {
  return (
    <div className="sum" title={number(value)}>
      <span className={`value ${tone}`}>{compact(value)}</span>
      <span className="softer">{label}</span>
    </div>
  );
}
