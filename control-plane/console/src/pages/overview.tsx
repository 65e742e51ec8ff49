/** The numbers of the installation at a glance; each goes to the list that it counts. */
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { api } from '../api/client.ts';
import { Card, ErrorNote, Loading, Note, Page } from '../ui/basics.tsx';
import { TimeColumns } from '../ui/chart.tsx';
import { DataTable } from '../ui/data-table.tsx';
import { bytes, compact, duration } from '../ui/format.tsx';

interface Counted {
  value: number | null;
  list: string;
}

interface Overview {
  at: string;
  windowSeconds: number;
  store: { status: 'up' | 'down' | 'none'; detail?: string };
  commandsPerSecond: Counted;
  decisions: Record<'allow' | 'deny' | 'hold', Counted>;
  refusedSessions: Counted;
  duration: { p50Us: number | null; p95Us: number | null; p99Us: number | null };
  addedLatency: { p50Us: number | null; p95Us: number | null; p99Us: number | null; samples: number };
  held: Counted;
  liveSessions: Counted;
  agents: Record<'online' | 'offline' | 'withProblems', Counted>;
  spool: { records: Counted; bytes: Counted };
  log: { control: string; records: string };
  storeLag: { entries: number | null; seconds: number | null };
  series: { at: string; allow: number; deny: number; hold: number }[];
}

const refreshMs = 5000;

export function OverviewPage() {
  const overview = useQuery({
    queryKey: ['overview'],
    queryFn: ({ signal }) => api<Overview>('/v1/overview', { signal }),
    refetchInterval: refreshMs,
  });
  return (
    <Page title="Overview">
      {overview.isPending && <Loading />}
      {overview.isError && !overview.data && <ErrorNote error={overview.error} retry={() => void overview.refetch()} />}
      {overview.data && <Shown overview={overview.data} />}
    </Page>
  );
}

function Shown({ overview }: { overview: Overview }) {
  const minutes = Math.round(overview.windowSeconds / 60);
  const since = `since:${minutes}m`;
  const us = (value: number | null) => (value === null ? '–' : duration(Math.round(value)));
  const lag = overview.storeLag;
  return (
    <div className="pad col" style={{ gap: 16 }}>
      {overview.store.status === 'down' && <Note tone="bad">{overview.store.detail ?? 'The session store does not answer.'}</Note>}
      <div className="grid tiles">
        <Tile label="commands a second" value={overview.commandsPerSecond.value} to="/commands" q={since} digits={1} />
        <Tile label="allowed" value={overview.decisions.allow.value} to="/commands" q={`decision:allowed ${since}`} />
        <Tile label="denied" value={overview.decisions.deny.value} to="/commands" q={`decision:denied ${since}`} tone="bad" />
        <Tile label="held" value={overview.decisions.hold.value} to="/commands" q={`decision:held ${since}`} tone="wait" />
        <Tile label="refused at the door" value={overview.refusedSessions.value} to="/sessions" q={`is:refused ${since}`} tone="bad" />
      </div>
      <Card title={`Decisions of the last ${minutes} minutes`}>
        <TimeColumns
          label={`Commands of the last ${minutes} minutes by decision`}
          series={[
            { name: 'allowed', tone: 'good' },
            { name: 'denied', tone: 'bad' },
            { name: 'held', tone: 'wait' },
          ]}
          points={overview.series.map(({ at, allow, deny, hold }) => ({ at, values: [allow, deny, hold] }))}
        />
      </Card>
      <div className="grid tiles">
        <Tile label="sessions open" value={overview.liveSessions.value} to="/sessions" q="is:live" />
        <Tile label="waiting for approval" value={overview.held.value} to="/inbox" tone="wait" />
        <Tile label="agents online" value={overview.agents.online.value} to="/agents" />
        <Tile label="agents offline" value={overview.agents.offline.value} to="/agents" tone="bad" />
        <Tile label="agents with problems" value={overview.agents.withProblems.value} to="/agents" tone="bad" />
      </div>
      <div className="grid two">
        <Card title="Time of a command">
          <DataTable
            label="Time of a command"
            rows={[
              { name: 'whole', to: '/commands', ...overview.duration } as const,
              { name: 'added by agents', to: '/agents', ...overview.addedLatency } as const,
            ]}
            keyOf={({ name }) => name}
            columns={[
              {
                title: 'Time',
                titleHidden: true,
                cell: ({ name, to }) => (
                  <Link className="link" to={to} search={to === '/commands' ? { q: since } : {}}>
                    {name}
                  </Link>
                ),
              },
              { title: 'median', right: true, cell: ({ p50Us }) => us(p50Us) },
              { title: '95 of 100', right: true, cell: ({ p95Us }) => us(p95Us) },
              { title: '99 of 100', right: true, cell: ({ p99Us }) => us(p99Us) },
            ]}
          />
          <p className="softer">
            The whole has the resource’s own time and the wait for approvals in it. What agents add is of{' '}
            {compact(overview.addedLatency.samples)} PostgreSQL commands that were measured: all of few, one in sixteen of many. A dash: too
            few to say.
          </p>
        </Card>
        <Card title="The way of the records">
          <dl className="facts">
            <dt>on agents’ disks</dt>
            <dd>
              <Link className="link" to="/agents">
                {compact(overview.spool.records.value ?? 0)} records wait
              </Link>
              , {bytes(overview.spool.bytes.value ?? 0)} reserved
            </dd>
            <dt>log</dt>
            <dd>
              <Link className="link" to="/commands">
                {overview.log.records} entries of records
              </Link>
              ,{' '}
              <Link className="link" to="/custody" search={{ view: 'anchors' }}>
                {overview.log.control} control events
              </Link>
            </dd>
            <dt>session store</dt>
            <dd>
              {overview.store.status === 'up'
                ? lag.entries === 0
                  ? 'has everything'
                  : lag.entries === null
                    ? 'how far it is is not known'
                    : `${compact(lag.entries)} entries behind${lag.seconds === null ? '' : `, ${duration(lag.seconds * 1e6)}`}`
                : overview.store.status === 'none'
                  ? 'there is none'
                  : 'does not answer'}
            </dd>
          </dl>
        </Card>
      </div>
    </div>
  );
}

function Tile({
  label,
  value,
  to,
  q,
  tone,
  digits = 0,
}: {
  label: string;
  value: number | null;
  to: '/commands' | '/sessions' | '/agents' | '/inbox';
  q?: string;
  tone?: 'bad' | 'wait';
  digits?: number;
}): ReactNode {
  const text = value === null ? '–' : digits > 0 && value < 100 ? value.toFixed(digits) : compact(value);
  return (
    <Link className="card tile" to={to} {...(q === undefined ? {} : { search: { q } })}>
      <span className={tone !== undefined && value !== null && value > 0 ? `value ${tone}` : 'value'}>{text}</span>
      <span className="softer">{label}</span>
    </Link>
  );
}
