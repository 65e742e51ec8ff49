/** Checkpoints of agents, the head of the control log, and its time stamps: what makes it impossible to take something out unseen. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { api } from '../../api/client.ts';
import { type Checked, checkHeads, keepHead, keptHeads } from '../../proof/keep-heads.ts';
import { Badge, Button, Card, Empty, ErrorNote, Loading, Note } from '../../ui/basics.tsx';
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
    <div className="scroll" tabIndex={0} role="region" aria-label="Time stamps">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Stamped</th>
            <th scope="col" className="num">
              Entries
            </th>
            <th scope="col">Authority</th>
            <th scope="col">Verified</th>
          </tr>
        </thead>
        <tbody>
          {stamps.map(({ size, headAt, url, stamp, problem }) => (
            <tr key={size}>
              <td>
                <Time at={stamp?.at ?? headAt} />
              </td>
              <td className="num">{number(size)}</td>
              <td>
                <Untrusted text={stamp?.authority ?? url} />
              </td>
              <td>
                {stamp === null ? (
                  <span>
                    <Badge tone="bad">no</Badge> <Untrusted text={problem} />
                  </span>
                ) : (
                  <Badge tone="good">verified</Badge>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Ledgers({ ledgers }: { ledgers: Shown['ledgers'] }) {
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="Checkpoints">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Agent</th>
            <th scope="col">Ledger</th>
            <th scope="col" className="num">
              Newest
            </th>
            <th scope="col">Signed</th>
            <th scope="col" className="num">
              Sessions in it
            </th>
            <th scope="col">State</th>
          </tr>
        </thead>
        <tbody>
          {ledgers.map(({ agentId, ledger, number: newest, at, sessions, conflict }) => (
            <tr key={ledger}>
              <td className="mono">{agentId}</td>
              <td className="mono">{ledger}</td>
              <td className="num">{number(newest)}</td>
              <td>{at === null ? '–' : <Ago at={at} />}</td>
              <td className="num">{number(sessions)}</td>
              <td>{conflict ? <Badge tone="bad">set back or copied</Badge> : <Badge tone="good">in order</Badge>}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
