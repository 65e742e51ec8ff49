/** Checkpoints of agents, the head of the control log, and its time stamps: what makes it impossible to take something out unseen. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { api } from '../../api/client.ts';
import { type Checked, checkHeads, keepHead, keptHeads } from '../../proof/keep-heads.ts';
import { Badge, Button, Card, Empty, ErrorNote, Loading, Note } from '../../ui/basics.tsx';
import { DataTable } from '../../ui/data-table.tsx';
import { Ago, number, Time } from '../../ui/format.tsx';
import { saveFile } from '../../ui/saved-file.ts';
import { toast } from '../../ui/toast.tsx';
import { Untrusted } from '../../ui/untrusted.tsx';

interface Shown {
  ledgers: { agentId: string; ledger: string; number: number; at: string | null; sessions: number; conflict: boolean }[];
  stamps: {
    size: number;
    note: string;
    url: string;
    headAt: string;
    stamp: { at: string; authority: string } | null;
    problem: string;
  }[];
}

export function Anchors() {
  const anchors = useQuery({ queryKey: ['anchors'], queryFn: ({ signal }) => api<Shown>('/v1/evidence/anchors', { signal }) });
  const stamped = anchors.data?.stamps.map(({ note }) => note) ?? [];
  const checked = useQuery({
    queryKey: ['heads', stamped],
    queryFn: ({ signal }) => checkHeads(stamped, signal),
    enabled: anchors.isSuccess,
    retry: false,
  });
  if (anchors.isPending) return <Loading />;
  if (anchors.isError) return <ErrorNote error={anchors.error} retry={() => void anchors.refetch()} />;
  return (
    <>
      <Card title="The control log">
        {checked.isPending && <Loading rows={3} />}
        {checked.isError && <ErrorNote error={checked.error} retry={() => void checked.refetch()} />}
        {checked.data && <Head checked={checked.data} />}
      </Card>
      <Card title="Time stamps (RFC 3161)" flush>
        {anchors.data.stamps.length === 0 ? (
          <p className="body soft">
            None: no authority stamps this log. With <code>--timestamps URL --timestamps-ca FILE</code> its head is stamped every hour, so
            that nobody can write an earlier day anew, whoever has our keys.
          </p>
        ) : (
          <Stamps stamps={anchors.data.stamps} />
        )}
      </Card>
      <Card title="Checkpoints of agents" flush>
        {anchors.data.ledgers.length === 0 ? (
          <Empty icon="seal" title="No agent has signed a checkpoint yet" />
        ) : (
          <Ledgers ledgers={anchors.data.ledgers} />
        )}
      </Card>
    </>
  );
}

function Head({ checked: { head, findings, keyChanged, against } }: { checked: Checked }) {
  const client = useQueryClient();
  const kept = keptHeads();
  const keep = async () => {
    keepHead(head.note);
    await client.invalidateQueries({ queryKey: ['heads'] });
    toast('Kept in this browser: the log has to go on from it for ever.');
  };
  const isGood = findings.length === 0 && !keyChanged;
  return (
    <div className="col">
      {keyChanged && (
        <Note tone="bad">
          The control plane signs with another key than the one that this browser knows. Ask why before you believe it.
        </Note>
      )}
      {findings.map((finding, index) => (
        <Note key={index} tone="bad">
          <code>{finding.code}</code> <Untrusted text={finding.message} />
        </Note>
      ))}
      {isGood && (
        <Note tone="good">
          {against === 0
            ? 'The head is signed by the control plane’s key. Keep it, and later heads are held against it.'
            : `The log goes on from ${against === 1 ? 'the one head' : `all ${number(against)} heads`} kept here or stamped. Verified in this browser.`}
        </Note>
      )}
      <dl className="facts">
        <dt>Entries</dt>
        <dd>{number(head.size)}</dd>
        <dt>Signed</dt>
        <dd>
          <Time at={head.at} />
        </dd>
        <dt>Root</dt>
        <dd className="mono break">{head.root}</dd>
        <dt>Kept here</dt>
        <dd>
          {kept.length === 0 ? 'none yet' : `${number(kept.length)} ${kept.length === 1 ? 'head' : 'heads'}, the first `}
          {kept[0] !== undefined && <Ago at={kept[0].at} />}
        </dd>
      </dl>
      <div className="row wrap">
        <Button icon="seal" onClick={() => void keep()} disabled={!isGood || kept.some(({ note }) => note === head.note)}>
          Keep this head
        </Button>
        <Button
          look="quiet"
          icon="download"
          onClick={() => saveFile(`control-log-head-${head.size}.txt`, 'text/plain', head.note)}
          disabled={!isGood}
        >
          Save it as a file
        </Button>
      </div>
    </div>
  );
}

function Stamps({ stamps }: { stamps: Shown['stamps'] }) {
  return (
    <DataTable
      label="Time stamps"
      rows={stamps}
      keyOf={({ size }) => size}
      columns={[
        { title: 'Stamped', cell: ({ stamp, headAt }) => <Time at={stamp?.at ?? headAt} /> },
        { title: 'Entries', right: true, cell: ({ size }) => number(size) },
        { title: 'Authority', cell: ({ stamp, url }) => <Untrusted text={stamp?.authority ?? url} /> },
        {
          title: 'Verified',
          cell: ({ stamp, problem }) =>
            stamp === null ? (
              <span>
                <Badge tone="bad">no</Badge> <Untrusted text={problem} />
              </span>
            ) : (
              <Badge tone="good">verified</Badge>
            ),
        },
      ]}
    />
  );
}

function Ledgers({ ledgers }: { ledgers: Shown['ledgers'] }) {
  return (
    <DataTable
      label="Checkpoints"
      rows={ledgers}
      keyOf={({ ledger }) => ledger}
      columns={[
        { title: 'Agent', cell: ({ agentId }) => <span className="mono">{agentId}</span> },
        { title: 'Ledger', cell: ({ ledger }) => <span className="mono">{ledger}</span> },
        { title: 'Newest', right: true, cell: each => number(each.number) },
        { title: 'Signed', cell: ({ at }) => (at === null ? '–' : <Ago at={at} />) },
        { title: 'Sessions in it', right: true, cell: ({ sessions }) => number(sessions) },
        {
          title: 'State',
          cell: ({ conflict }) => (conflict ? <Badge tone="bad">set back or copied</Badge> : <Badge tone="good">in order</Badge>),
        },
      ]}
    />
  );
}
