/** The columns of the lists of sessions and commands. */
import type { RecordedCommand, Session } from '../../api/types.ts';
import { Badge } from '../../ui/basics.tsx';
import { compact, DecisionBadge, duration, number, parseTime, Time } from '../../ui/format.tsx';
import { Icon } from '../../ui/icon.tsx';
import type { Column } from '../../ui/result-list.tsx';
import { Sql } from '../../ui/sql.tsx';
import { Untrusted } from '../../ui/untrusted.tsx';

export function Who({ name, kind, delegation = [] }: { name: string; kind?: string; delegation?: readonly string[] }) {
  return (
    <span className="row" style={{ gap: 6 }}>
      <Icon name={kind === 'workload' ? 'bot' : 'user'} />
      <span className="truncate">
        <Untrusted text={name} />
        {delegation.length > 0 && (
          <span className="softer">
            {' '}
            for <Untrusted text={delegation.join(' → ')} />
          </span>
        )}
      </span>
    </span>
  );
}

export function StatusBadge({ session }: { session: Pick<Session, 'live' | 'status' | 'endReason'> }) {
  if (session.live) {
    return (
      <Badge tone="good">
        <span className="dot good" /> live
      </Badge>
    );
  }
  if (session.status === 'refused') return <Badge tone="bad">refused</Badge>;
  // Not live, and no end was recorded: its agent is gone, or the end is on its way.
  return <Badge>{session.status === 'open' ? 'unknown' : session.status}</Badge>;
}

/** Microseconds; of a live session up to now. */
export function lengthUs({ startedAt, endedAt }: Pick<Session, 'startedAt' | 'endedAt'>): number {
  const end = endedAt === null ? Date.now() : parseTime(endedAt).getTime();
  return Math.max(0, end - parseTime(startedAt).getTime()) * 1000;
}

const amount = (value: number) => <span className={value === 0 ? 'softer' : undefined}>{compact(value)}</span>;

export const sessionColumns: readonly Column<Session>[] = [
  { id: 'status', label: 'Status', width: 74, cell: session => <StatusBadge session={session} />, text: session => session.status },
  {
    id: 'started',
    label: 'Started',
    wide: true,
    width: 118,
    cell: ({ startedAt }) => <Time at={startedAt} />,
    text: ({ startedAt }) => startedAt,
  },
  {
    id: 'who',
    label: 'Who',
    width: 180,
    grow: 3,
    cell: session => <Who name={session.principal} kind={session.principalKind} delegation={session.delegation ?? []} />,
    text: ({ principal }) => principal,
  },
  {
    id: 'resource',
    label: 'Resource',
    wide: true,
    width: 100,
    grow: 1.4,
    cell: ({ resource }) => <Untrusted text={resource} />,
    text: ({ resource }) => resource,
  },
  { id: 'role', label: 'Role', wide: true, width: 110, grow: 1.2, cell: ({ role }) => <Untrusted text={role} />, text: ({ role }) => role },
  {
    id: 'duration',
    label: 'Duration',
    wide: true,
    width: 84,
    right: true,
    cell: session => duration(lengthUs(session)),
    text: session => Math.round(lengthUs(session) / 1000),
  },
  {
    id: 'commands',
    label: 'Commands',
    wide: true,
    width: 78,
    right: true,
    cell: ({ commands }) => amount(commands),
    text: ({ commands }) => commands,
  },
  {
    id: 'denied',
    label: 'Denied',
    width: 64,
    right: true,
    cell: ({ denied }) => (denied > 0 ? <Badge tone="bad">{number(denied)}</Badge> : amount(0)),
    text: ({ denied }) => denied,
  },
  {
    id: 'masked',
    label: 'Masked',
    wide: true,
    width: 64,
    right: true,
    cell: ({ maskedValues }) => (maskedValues > 0 ? <Badge tone="mask">{compact(maskedValues)}</Badge> : amount(0)),
    text: ({ maskedValues }) => maskedValues,
  },
  { id: 'agent', label: 'Agent', width: 90, grow: 1, cell: ({ agent }) => <Untrusted text={agent} />, text: ({ agent }) => agent },
  {
    id: 'client',
    label: 'Client',
    width: 130,
    cell: ({ clientAddress }) => <Untrusted text={clientAddress} />,
    text: ({ clientAddress }) => clientAddress,
  },
  {
    id: 'end',
    label: 'End',
    width: 120,
    grow: 1,
    cell: ({ endReason }) => <Untrusted text={endReason ?? ''} />,
    text: ({ endReason }) => endReason ?? '',
  },
  {
    id: 'id',
    label: 'Session',
    width: 270,
    cell: ({ sessionId }) => <code>{sessionId}</code>,
    text: ({ sessionId }) => sessionId,
  },
];

export const sessionColumnsShown = ['status', 'started', 'who', 'resource', 'role', 'duration', 'commands', 'denied', 'masked'];

export const commandColumns: readonly Column<RecordedCommand>[] = [
  { id: 'at', label: 'Time', wide: true, width: 118, cell: ({ at }) => <Time at={at} />, text: ({ at }) => at },
  {
    id: 'decision',
    label: 'Decision',
    width: 76,
    cell: ({ decision, status }) => <DecisionBadge decision={decision} status={status} />,
    text: ({ decision }) => decision,
  },
  {
    id: 'who',
    label: 'Who',
    wide: true,
    width: 130,
    grow: 1.4,
    cell: ({ principal }) => <Untrusted text={principal} />,
    text: ({ principal }) => principal,
  },
  {
    id: 'resource',
    label: 'Resource',
    wide: true,
    width: 84,
    cell: ({ resource }) => <Untrusted text={resource} />,
    text: ({ resource }) => resource,
  },
  { id: 'text', label: 'Command', width: 240, grow: 12, cell: ({ text }) => <Sql text={text} line />, text: ({ text }) => text },
  {
    id: 'rule',
    label: 'Rule',
    wide: true,
    width: 116,
    grow: 1.4,
    cell: ({ rule }) => <Untrusted text={rule} />,
    text: ({ rule }) => rule,
  },
  { id: 'rows', label: 'Rows', wide: true, width: 48, right: true, cell: ({ rows }) => amount(rows), text: ({ rows }) => rows },
  {
    id: 'masked',
    label: 'Masked',
    wide: true,
    width: 54,
    right: true,
    cell: ({ maskedValues }) => (maskedValues > 0 ? <Badge tone="mask">{compact(maskedValues)}</Badge> : amount(0)),
    text: ({ maskedValues }) => maskedValues,
  },
  {
    id: 'duration',
    label: 'Took',
    wide: true,
    width: 60,
    right: true,
    cell: ({ durationUs }) => duration(durationUs),
    text: ({ durationUs }) => durationUs,
  },
  {
    id: 'objects',
    label: 'Objects',
    width: 140,
    grow: 1,
    cell: ({ objects }) => <Untrusted text={objects.join(' ')} />,
    text: ({ objects }) => objects.join(' '),
  },
  {
    id: 'classes',
    label: 'Data classes',
    width: 140,
    grow: 1,
    cell: ({ dataClasses }) => <Untrusted text={dataClasses.join(' ')} />,
    text: ({ dataClasses }) => dataClasses.join(' '),
  },
  {
    id: 'reason',
    label: 'Reason',
    width: 200,
    grow: 1.5,
    cell: ({ reason }) => <Untrusted text={reason} />,
    text: ({ reason }) => reason,
  },
  { id: 'error', label: 'Error', width: 70, cell: ({ errorCode }) => <Untrusted text={errorCode} />, text: ({ errorCode }) => errorCode },
  {
    id: 'approvers',
    label: 'Approved by',
    width: 150,
    grow: 1,
    cell: ({ approvers }) => <Untrusted text={approvers.join(', ')} />,
    text: ({ approvers }) => approvers.join(', '),
  },
];

export const commandColumnsShown = ['at', 'decision', 'who', 'resource', 'text', 'rule', 'rows', 'masked', 'duration'];
