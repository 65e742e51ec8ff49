/** How long sessions are kept, by which audit policies, and what goes next. */
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { api } from '../../api/client.ts';
import { Card, Empty, ErrorNote, Loading, QueryLink } from '../../ui/basics.tsx';
import { DataTable, type TableColumn } from '../../ui/data-table.tsx';
import { Ago, duration, number } from '../../ui/format.tsx';
import { Untrusted } from '../../ui/untrusted.tsx';

interface Due {
  resource: string;
  policies: string[];
  retentionMs: number | null;
  before: string | null;
  next: string | null;
  sessions: number;
  held: number;
  open: number;
}

export const retentionKey = ['retention'] as const;

export function Retention() {
  const retention = useQuery({
    queryKey: retentionKey,
    queryFn: ({ signal }) => api<{ resources: Due[] }>('/v1/evidence/retention', { signal }),
  });
  return (
    <Card title="How long sessions are kept" flush>
      {retention.isPending && <Loading rows={3} />}
      {retention.isError && <ErrorNote error={retention.error} retry={() => void retention.refetch()} />}
      {retention.data &&
        (retention.data.resources.length === 0 ? (
          <Empty icon="clock" title="No session was recorded yet" />
        ) : (
          <DataTable label="Retention" rows={retention.data.resources} keyOf={({ resource }) => resource} columns={columns} />
        ))}
      <p className="body softer">
        What is due goes within the hour, and the control log says so before it is done. A session without an end is never due; where
        several policies speak, the longest counts.
      </p>
    </Card>
  );
}

const columns: readonly TableColumn<Due>[] = [
  {
    title: 'Resource',
    cell: ({ resource }) => (
      <QueryLink query={`resource:${resource}`}>
        <Untrusted text={resource} />
      </QueryLink>
    ),
  },
  { title: 'Kept', cell: ({ retentionMs }) => (retentionMs === null ? 'for ever' : duration(retentionMs * 1000)) },
  { title: 'By audit policy', cell: ({ policies }) => <Policies names={policies} /> },
  {
    title: 'Next to go',
    cell: ({ sessions, next }) =>
      sessions > 0 ? 'within the hour' : next === null ? <span className="softer">nothing</span> : <Ago at={next} />,
  },
  { title: 'Due', right: true, cell: ({ sessions }) => number(sessions) },
  { title: 'On hold', right: true, cell: ({ held }) => number(held) },
  { title: 'Without an end', right: true, cell: ({ open }) => number(open) },
];

function Policies({ names }: { names: readonly string[] }) {
  if (names.length === 0) return <span className="softer">none says how long</span>;
  return names.map((name, index) => (
    <span key={name}>
      {index > 0 && ', '}
      <Link className="link" to="/policies/$kind/$name" params={{ kind: 'AuditPolicy', name }}>
        <Untrusted text={name} />
      </Link>
    </span>
  ));
}
