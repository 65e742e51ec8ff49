/** One command in full: its text, why it was decided so, what it touched, what came back. */
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Fragment, type ReactNode } from 'react';
import { api } from '../../api/client.ts';
import { useMe } from '../../api/me.ts';
import type { CommandDetails as Details } from '../../api/types.ts';
import { Badge, CopyButton, ErrorNote, Loading, QueryLink } from '../../ui/basics.tsx';
import { bytes, duration, number, Time } from '../../ui/format.tsx';
import { quoted } from '../../ui/quoted.ts';
import { Sql } from '../../ui/sql.tsx';
import { Untrusted } from '../../ui/untrusted.tsx';
import { InlineApproval } from '../inbox/inline-approval.tsx';
import { AnswerTables } from './answer-table.tsx';
import { ContentsGone } from './contents-gone.tsx';

export function CommandDetails({ sessionId, seq }: { sessionId: string; seq: number }) {
  const command = useQuery({
    queryKey: ['command', sessionId, seq],
    queryFn: ({ signal }) => api<Details>(`/v1/sessions/${encodeURIComponent(sessionId)}/commands/${seq}`, { signal }),
    // What is recorded does not change, except that an answer may still be on its way.
    staleTime: 60_000,
    refetchInterval: query => (query.state.data?.status === 'pending' ? 2000 : false),
  });
  if (command.isPending) return <Loading rows={3} />;
  if (command.isError) return <ErrorNote error={command.error} retry={() => void command.refetch()} />;
  return <Shown command={command.data} />;
}

function Shown({ command }: { command: Details }) {
  const me = useMe();
  const facts: [string, ReactNode][] = [
    [
      'Decision',
      <>
        {command.decision === 'deny' ? 'Denied' : command.decision === 'hold' ? 'Held' : 'Allowed'} by{' '}
        <QueryLink to="/commands" query={`rule:${quoted(command.rule)}`}>
          <Untrusted text={command.rule} />
        </QueryLink>
        : <Untrusted text={command.reason} />
      </>,
    ],
  ];
  if (command.errorCode !== '')
    facts.push([
      'Error',
      <>
        <code>{command.errorCode}</code> <Untrusted text={command.errorText} />
      </>,
    ]);
  if (command.approvalId !== '')
    facts.push([
      'Approval',
      <>
        <Link className="link" to="/inbox/$id" params={{ id: command.approvalId }}>
          {command.approvers.length > 0 ? (
            <>
              approved by <Untrusted text={command.approvers.join(', ')} />
            </>
          ) : (
            'see the approval'
          )}
        </Link>
        {command.heldUs > 0 && ` · held for ${duration(command.heldUs)}`}
      </>,
    ]);
  if (command.statements.length > 0) facts.push(['Statements', <Names key="statements" names={command.statements} />]);
  if (command.objects.length > 0) facts.push(['Objects', <Names key="objects" names={command.objects} field="object" />]);
  if (command.columnsRead.length > 0) facts.push(['Columns read', <Names key="columns" names={command.columnsRead} field="column" />]);
  if (command.inferences.length > 0) facts.push(['Leaks by inference', <Names key="inferences" names={command.inferences} />]);
  if (command.dataClasses.length > 0) facts.push(['Masked', <Names key="classes" names={command.dataClasses} field="class" tone="mask" />]);
  if (command.parameters.length > 0) facts.push(['Parameters', <Names key="parameters" names={command.parameters} numbered />]);
  facts.push([
    'Took',
    <>
      {duration(command.durationUs)} · {number(command.rows)} rows · {bytes(command.bytes)} · <Time at={command.at} /> · number{' '}
      {command.seq}, policy {command.policyVersion}
    </>,
  ]);
  return (
    <div className="col command-details">
      <div className="code-block">
        <Sql text={command.text} format />
        {command.textTruncated && <div className="softer">The record holds the beginning of the text.</div>}
      </div>
      <div className="row wrap">
        <CopyButton text={command.text} label="Copy the text" />
        <CopyButton text={`${location.origin}/sessions/${command.sessionId}?seq=${command.seq}`} label="Copy a link" />
        {command.fingerprint !== '' && (
          <Link className="button quiet" to="/commands" search={{ q: `fingerprint:${command.fingerprint}` }}>
            Others like it
          </Link>
        )}
      </div>
      <dl className="facts">
        {facts.map(([name, value]) => (
          <Fragment key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </Fragment>
        ))}
      </dl>
      {command.approvalId !== '' && me.data && <InlineApproval id={command.approvalId} me={me.data} />}
      {command.contentsGone === undefined ? (
        <AnswerTables command={command} />
      ) : (
        <ContentsGone what="What came back, its parameters and its error text are" why={command.contentsGone} />
      )}
    </div>
  );
}

const namesShownMax = 60;

function Names({
  names,
  field,
  tone,
  numbered = false,
}: {
  names: readonly string[];
  field?: string;
  tone?: 'mask';
  /** Parameters: $1, $2 … */
  numbered?: boolean;
}) {
  return (
    <span className="row wrap" style={{ gap: 4 }}>
      {names.slice(0, namesShownMax).map((name, index) => {
        const shown = <Untrusted text={name.length > 200 ? `${name.slice(0, 200)}…` : name} />;
        return (
          <Badge key={index} tone={tone}>
            {numbered && <span className="softer">${index + 1}</span>}
            {field === undefined ? (
              shown
            ) : (
              <Link to="/commands" search={{ q: `${field}:${quoted(name)}` }}>
                {shown}
              </Link>
            )}
          </Badge>
        );
      })}
      {names.length > namesShownMax && <span className="softer">and {names.length - namesShownMax} more</span>}
    </span>
  );
}
