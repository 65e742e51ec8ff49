/** One approval: what is asked, by whom, with what effect; and the answer. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type FormEvent, Fragment, type ReactNode, useEffect, useRef, useState } from 'react';
import { ApiError, api, withQuery } from '../../api/client.ts';
import { type Me, may } from '../../api/me.ts';
import type { RecordedCommand } from '../../api/types.ts';
import { Badge, Button, ErrorNote, Loading, Note, QueryLink } from '../../ui/basics.tsx';
import { Countdown, DecisionBadge, duration, Time } from '../../ui/format.tsx';
import { useShortcuts } from '../../ui/keyboard.ts';
import { quoted } from '../../ui/quoted.ts';
import { Sql } from '../../ui/sql.tsx';
import { toast } from '../../ui/toast.tsx';
import { Untrusted } from '../../ui/untrusted.tsx';
import { Who } from '../sessions/columns.tsx';
import { type Approval, isAccess, isOwn, mayAnswer } from './approval-types.ts';
import { Effect } from './effect.tsx';

export function ApprovalDetails({ id, me }: { id: string; me: Me }) {
  const approval = useQuery({
    queryKey: ['approval', id],
    queryFn: ({ signal }) => api<Approval>(`/v1/approvals/${encodeURIComponent(id)}`, { signal }),
  });
  if (approval.isPending) return <Loading />;
  if (approval.isError) return <ErrorNote error={approval.error} retry={() => void approval.refetch()} />;
  return <Shown key={id} approval={approval.data} me={me} />;
}

function Shown({ approval, me }: { approval: Approval; me: Me }) {
  const access = isAccess(approval);
  const facts: [string, ReactNode][] = [
    ['Who', <Who key="who" name={approval.principal.name} kind={approval.principal.kind} delegation={approval.principal.delegation} />],
    ['Where', <Untrusted key="where" text={approval.resource} />],
  ];
  if (approval.access !== null) {
    facts.push(
      ['Why', <Untrusted key="why" text={approval.access.reason} />],
      ['For', duration(approval.access.seconds * 1e6)],
      ['As', <Untrusted key="as" text={approval.access.role} />],
    );
    if (approval.access.until !== null) facts.push(['Until', <Time key="until" at={approval.access.until} />]);
    if (approval.access.ended !== null)
      facts.push([
        'Ended',
        <Untrusted
          key="ended"
          text={[approval.access.ended.why, approval.access.ended.by, approval.access.ended.reason].filter(Boolean).join(', ')}
        />,
      ]);
  }
  if (approval.parameters.length > 0)
    facts.push([
      'Parameters',
      <span key="parameters" className="row wrap" style={{ gap: 4 }}>
        {approval.parameters.map((value, index) => (
          <Badge key={index}>
            <span className="softer">${index + 1}</span> <Untrusted text={value} />
          </Badge>
        ))}
      </span>,
    ]);
  if (approval.message !== '') facts.push(['Why', <Untrusted key="message" text={approval.message} />]);
  if (approval.rule !== '') facts.push(['Rule', <Rule key="rule" name={approval.rule} isGuard={approval.message !== ''} me={me} />]);
  if (!access)
    facts.push([
      'Session',
      <Link
        key="session"
        className="link"
        to="/sessions/$id"
        params={{ id: approval.sessionId }}
        search={{ seq: String(approval.commandSeq) }}
      >
        command {approval.commandSeq} of its session
      </Link>,
    ]);
  return (
    <article className="approval">
      <div className="approval-body">
        <header className="row wrap spread">
          <h1 className="row wrap">
            <Untrusted text={approval.principal.name} />
            <span className="softer">{access ? 'asks to use' : 'waits on'}</span>
            <Untrusted text={approval.resource} />
          </h1>
          <StateBadge approval={approval} />
        </header>
        {!access && (
          <div className="code-block">
            <Sql text={approval.text} format />
          </div>
        )}
        <Effect preview={approval.preview} />
        <Quorum approval={approval} />
        <dl className="facts">
          {facts.map(([name, value]) => (
            <Fragment key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </Fragment>
          ))}
        </dl>
        {!access && <LastCommands approval={approval} />}
        {approval.fingerprint !== '' && <Alike approval={approval} me={me} />}
      </div>
      <AnswerBar approval={approval} me={me} />
    </article>
  );
}

export function StateBadge({ approval }: { approval: Approval }) {
  if (approval.state === 'pending') {
    return (
      <Badge tone="wait">
        <Countdown to={approval.expiresAt} />
      </Badge>
    );
  }
  const tone = { approved: 'good', denied: 'bad', expired: undefined, withdrawn: undefined } as const;
  return <Badge tone={tone[approval.state]}>{approval.state}</Badge>;
}

/** One mark for every approval that is needed. */
export function Quorum({ approval }: { approval: Approval }) {
  const needed = approval.quorum * Math.max(1, approval.groups.length);
  const given = approval.state === 'approved' || approval.state === 'pending' ? Math.min(approval.approvedBy.length, needed) : 0;
  return (
    <section className="col" style={{ gap: 6 }} aria-label="Approvals">
      <h2>
        {given} of {needed} {needed === 1 ? 'approval' : 'approvals'}
      </h2>
      <div className="quorum" aria-hidden="true">
        {Array.from({ length: needed }, (_, index) => (
          <span key={index} className={index < given ? 'given' : ''} />
        ))}
      </div>
      <span className="soft">
        {approval.state === 'denied' ? (
          <>
            Denied by <Untrusted text={approval.approvedBy.join(', ')} />
          </>
        ) : approval.approvedBy.length > 0 ? (
          <>
            Approved by <Untrusted text={approval.approvedBy.join(', ')} />
          </>
        ) : (
          'Nobody yet'
        )}
        {approval.state === 'pending' && (
          <>
            {' · '}
            {approval.quorum} of {approval.groups.length > 1 ? 'each of ' : ''}
            <Untrusted text={approval.groups.join(', ')} />
          </>
        )}
        {approval.reason !== '' && (
          <>
            : <Untrusted text={approval.reason} />
          </>
        )}
      </span>
    </section>
  );
}

/** What the same principal did last; empty for those who may not read it. */
function LastCommands({ approval }: { approval: Approval }) {
  const query = `who:${quoted(approval.principal.name)}`;
  const last = useQuery({
    queryKey: ['commands', 'last', approval.principal.name],
    queryFn: ({ signal }) => api<{ commands: RecordedCommand[] }>(withQuery('/v1/search/commands', { q: query, limit: 5 }), { signal }),
    retry: false,
  });
  const commands = (last.data?.commands ?? []).filter(
    ({ sessionId, seq }) => sessionId !== approval.sessionId || seq !== approval.commandSeq,
  );
  if (commands.length === 0) return null;
  return (
    <section className="col" style={{ gap: 4 }}>
      <h2 className="row spread">
        Their last commands
        <QueryLink to="/commands" query={query}>
          all
        </QueryLink>
      </h2>
      <Commands commands={commands} />
    </section>
  );
}

/** What people decided on the same command with other literals, for everybody who may see this one. */
function Alike({ approval: { id, fingerprint }, me }: { approval: Approval; me: Me }) {
  const alike = useQuery({
    queryKey: ['approvals', 'like', id],
    queryFn: ({ signal }) => api<{ approvals: Approval[] }>(withQuery('/v1/approvals', { state: 'all', like: id, limit: 5 }), { signal }),
  });
  if (alike.data === undefined || alike.data.approvals.length === 0) return null;
  return (
    <section className="col" style={{ gap: 4 }} aria-label="Others like it">
      <h2 className="row spread">
        Others like it
        {may(me, 'auditor') && (
          <QueryLink to="/commands" query={`fingerprint:${fingerprint} decision:held`}>
            all
          </QueryLink>
        )}
      </h2>
      <ul className="mini-list">
        {alike.data.approvals.map(each => (
          <li key={each.id}>
            <Link to="/inbox/$id" params={{ id: each.id }}>
              <span className="softer truncate">
                <Untrusted text={each.principal.name} />
              </span>
              <Sql text={each.text} line />
              <span className="row">
                {each.approvedBy.length > 0 && (
                  <span className="soft truncate">
                    <Untrusted text={each.approvedBy.join(', ')} />
                    {each.reason !== '' && (
                      <>
                        : <Untrusted text={each.reason} />
                      </>
                    )}
                  </span>
                )}
                <StateBadge approval={each} />
              </span>
            </Link>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** `GUARD/RULE`, for those who may read policies with the way to it. */
function Rule({ name, isGuard, me }: { name: string; isGuard: boolean; me: Me }) {
  const [guard = ''] = name.split('/');
  if (!isGuard || !may(me, 'viewer', 'operator', 'auditor')) return <Untrusted text={name} />;
  return (
    <Link className="link" to="/policies/$kind/$name" params={{ kind: 'Guard', name: guard }}>
      <Untrusted text={name} />
    </Link>
  );
}

function Commands({ commands }: { commands: readonly RecordedCommand[] }) {
  return (
    <ul className="mini-list">
      {commands.map(command => (
        <li key={`${command.sessionId} ${command.seq}`}>
          <Link to="/sessions/$id" params={{ id: command.sessionId }} search={{ seq: String(command.seq) }}>
            <span className="softer">
              <Time at={command.at} />
            </span>
            <Sql text={command.text} line />
            <DecisionBadge decision={command.decision} status={command.status} />
          </Link>
        </li>
      ))}
    </ul>
  );
}

type Answer = 'approve' | 'deny';

export function AnswerBar({ approval, me }: { approval: Approval; me: Me }) {
  const client = useQueryClient();
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState('');
  const field = useRef<HTMLInputElement>(null);
  const may = mayAnswer(approval, me);
  useEffect(() => {
    if (answer !== null) field.current?.focus();
  }, [answer]);
  useShortcuts(
    may
      ? [
          { keys: 'a', label: 'Approve', run: () => setAnswer('approve') },
          { keys: 'd', label: 'Deny', run: () => setAnswer('deny') },
        ]
      : [],
  );
  if (approval.state !== 'pending' || isOwn(approval, me)) {
    if (approval.kind === 'access' && mayEnd(approval, me)) return <EndAccess approval={approval} />;
    if (approval.state !== 'pending') return null;
  }
  if (!may) {
    return (
      <div className="detail-bar">
        <span className="soft">{whyNot(approval, me)}</span>
      </div>
    );
  }
  const send = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (answer === null || busy) return;
    const reason = field.current?.value.trim() ?? '';
    setBusy(true);
    setRefused('');
    try {
      const next = await api<Approval>(`/v1/approvals/${approval.id}/${answer}`, { method: 'POST', body: { reason } });
      client.setQueryData(['approval', approval.id], next);
      await client.invalidateQueries({ queryKey: ['approvals'] });
      setAnswer(null);
      toast(
        next.state === 'approved'
          ? 'Approved: it is released.'
          : next.state === 'denied'
            ? 'Denied.'
            : `Your approval counts. ${next.quorum * next.groups.length - next.approvedBy.length} still needed.`,
      );
    } catch (error) {
      // Somebody else was quicker, or a rule forbids it: what is true now is shown with it.
      setRefused(error instanceof ApiError ? error.message : String(error));
      void client.invalidateQueries({ queryKey: ['approval', approval.id] });
    } finally {
      setBusy(false);
    }
  };
  return (
    <form className="detail-bar" onSubmit={event => void send(event)}>
      {refused !== '' && (
        <div style={{ flexBasis: '100%' }}>
          <Note tone="bad">
            <Untrusted text={refused} />
          </Note>
        </div>
      )}
      {answer === null ? (
        <>
          <Button look="primary" icon="check" onClick={() => setAnswer('approve')}>
            Approve <kbd className="only-wide">A</kbd>
          </Button>
          <Button look="danger" icon="cross" onClick={() => setAnswer('deny')}>
            Deny <kbd className="only-wide">D</kbd>
          </Button>
        </>
      ) : (
        <>
          <input
            ref={field}
            className="input grow"
            aria-label={answer === 'approve' ? 'Reason for approving' : 'Reason for denying'}
            placeholder={answer === 'approve' ? 'Reason, for the record (optional)' : 'Reason: the person who waits is told'}
            maxLength={500}
            required={answer === 'deny'}
            autoComplete="off"
            onKeyDown={event => {
              if (event.key === 'Escape') setAnswer(null);
            }}
          />
          <button type="submit" className={`button ${answer === 'approve' ? 'primary' : 'danger solid'}`} disabled={busy}>
            {answer === 'approve' ? 'Approve' : 'Deny'} <kbd className="only-wide">↵</kbd>
          </button>
          <Button look="quiet" onClick={() => setAnswer(null)}>
            Cancel
          </Button>
        </>
      )}
    </form>
  );
}

function whyNot(approval: Approval, me: Me): string {
  if (isOwn(approval, me)) return 'This is yours: somebody else has to answer it.';
  if (me.kind !== 'person') return 'The administrator’s token says nothing about who holds it: an approval needs a person.';
  if (approval.approvedBy.includes(me.name)) return 'You have approved it; others are still needed.';
  return `Only people of ${approval.groups.join(', ')} answer it.`;
}

/** Whoever asked takes it back or ends it; whoever could give it ends it as well. */
function mayEnd(approval: Approval, me: Me): boolean {
  if (approval.state === 'pending') return isOwn(approval, me);
  const isOver = approval.access?.until == null || approval.access.ended !== null;
  return approval.state === 'approved' && !isOver && (isOwn(approval, me) || approval.groups.some(group => me.groups.includes(group)));
}

function EndAccess({ approval }: { approval: Approval }) {
  const client = useQueryClient();
  const end = async () => {
    try {
      client.setQueryData(['approval', approval.id], await api(`/v1/approvals/${approval.id}/revoke`, { method: 'POST', body: {} }));
      await client.invalidateQueries({ queryKey: ['approvals'] });
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), true);
    }
  };
  return (
    <div className="detail-bar">
      <Button look="danger" onClick={() => void end()}>
        {approval.state === 'pending' ? 'Take it back' : 'End the access'}
      </Button>
      {approval.state === 'pending' && <span className="soft">This is yours: somebody else has to answer it.</span>}
    </div>
  );
}
