/** The agents by network: are they there, how old is what they know, what do they serve; and a line to paste for a new one. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { type FormEvent, type ReactNode, useState } from 'react';
import { api } from '../api/client.ts';
import { useIsLive } from '../api/events.ts';
import { may, useMe } from '../api/me.ts';
import type { Agent } from '../api/types.ts';
import { Badge, Button, Empty, ErrorNote, Loading, Note, Page, Paste, QueryLink } from '../ui/basics.tsx';
import { Dialog } from '../ui/dialog.tsx';
import { FormDialog, TextField } from '../ui/form-dialog.tsx';
import { Ago, compact, Time } from '../ui/format.tsx';
import { useShortcuts } from '../ui/keyboard.ts';
import { quoted } from '../ui/quoted.ts';
import { toast } from '../ui/toast.tsx';
import { Untrusted } from '../ui/untrusted.tsx';
import { shellWord } from './resources.tsx';

export function AgentsPage() {
  const me = useMe();
  const navigate = useNavigate();
  const { invite } = useSearch({ from: '/agents' });
  const live = useIsLive();
  const agents = useQuery({
    queryKey: ['agents'],
    queryFn: ({ signal }) => api<{ agents: Agent[] }>('/v1/agents', { signal }),
    refetchInterval: live ? 15_000 : 5000,
  });
  const mayInvite = may(me.data, 'operator');
  const setInvite = (open: boolean) => void navigate({ to: '/agents', search: open ? { invite: '1' } : {}, replace: true });
  useShortcuts(mayInvite ? [{ keys: 'i', label: 'Invite an agent', run: () => setInvite(true) }] : []);
  const networks = byNetwork(agents.data?.agents ?? []);
  return (
    <Page
      title="Agents"
      actions={
        mayInvite && (
          <Button look="primary" icon="plus" onClick={() => setInvite(true)}>
            Invite an agent <kbd className="only-wide">I</kbd>
          </Button>
        )
      }
    >
      {agents.isPending && <Loading />}
      {agents.isError && <ErrorNote error={agents.error} retry={() => void agents.refetch()} />}
      {agents.isSuccess && networks.length === 0 && (
        <Empty icon="agent" title="No agent yet">
          <p>An agent stands in the network of your resources and dials out from there. Invite the first one.</p>
        </Empty>
      )}
      <div className="pad col" style={{ gap: 22 }}>
        {networks.map(([network, list]) => (
          <section key={network} className="col">
            <h2 className="row">
              <Untrusted text={network === '' ? 'Without a network label' : network} />
              <span className="softer">
                {list.filter(({ status }) => status === 'online').length} of {list.length} online
              </span>
            </h2>
            <div className="grid cards">
              {list.map(agent => (
                <AgentCard key={agent.id} agent={agent} mayRevoke={mayInvite} />
              ))}
            </div>
          </section>
        ))}
      </div>
      {invite === '1' && mayInvite && <Invite onClose={() => setInvite(false)} />}
    </Page>
  );
}

/** The label `network` says where an agent stands; those that are there first. */
function byNetwork(agents: readonly Agent[]): [string, Agent[]][] {
  const order = { online: 0, offline: 1, invited: 2, revoked: 3 };
  const groups = new Map<string, Agent[]>();
  for (const agent of [...agents].sort((a, b) => order[a.status] - order[b.status] || (a.name < b.name ? -1 : 1))) {
    const network = agent.labels['network'] ?? '';
    groups.set(network, [...(groups.get(network) ?? []), agent]);
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
}

const tones = { online: 'good', offline: 'bad', invited: 'info', revoked: undefined } as const;
/** More than this and the log does not keep up, or cannot be reached. */
const spoolRecordsCalm = 5000;

function AgentCard({ agent, mayRevoke }: { agent: Agent; mayRevoke: boolean }) {
  const [revoking, setRevoking] = useState(false);
  const facts: [string, ReactNode][] = [];
  if (agent.version !== '') facts.push(['Version', agent.version]);
  if (agent.lastSeenAt) facts.push(['Seen', <Ago key="seen" at={agent.lastSeenAt} />]);
  if (agent.connectedAt) facts.push(['Connected', <Ago key="connected" at={agent.connectedAt} />]);
  if (agent.leaseVersion !== undefined)
    facts.push([
      'Lease',
      <span key="lease">
        version {agent.leaseVersion}
        {agent.leaseIssuedAt !== undefined && (
          <>
            , <Ago at={agent.leaseIssuedAt} />
          </>
        )}
      </span>,
    ]);
  if (agent.spoolRecords !== undefined)
    facts.push([
      'Spool',
      <span key="spool" className={agent.spoolRecords > spoolRecordsCalm ? 'value wait' : undefined}>
        {compact(agent.spoolRecords)} records to deliver
      </span>,
    ]);
  if (agent.status === 'online')
    facts.push([
      'Sessions',
      <QueryLink key="sessions" query={`agent:${quoted(agent.name)} is:live`}>
        {compact(agent.sessions)} open
      </QueryLink>,
    ]);
  if (agent.certificateExpiresAt) facts.push(['Certificate', <Ago key="certificate" at={agent.certificateExpiresAt} />]);
  if (agent.invitationExpiresAt) facts.push(['Invitation ends', <Time key="invitation" at={agent.invitationExpiresAt} />]);
  const listeners = Object.entries(agent.listeners);
  const problems = Object.entries(agent.problems);
  return (
    <section className="card">
      <header>
        <h3 className="grow truncate">
          <Untrusted text={agent.name === '' ? 'not joined yet' : agent.name} />
        </h3>
        <Badge tone={tones[agent.status]}>{agent.status}</Badge>
      </header>
      <div className="body col">
        {problems.length > 0 && (
          <Note tone="bad">
            {problems.map(([resource, reason]) => (
              <div key={resource}>
                <strong>
                  <Untrusted text={resource} />
                </strong>{' '}
                <Untrusted text={reason} />
              </div>
            ))}
          </Note>
        )}
        <dl className="facts">
          {facts.map(([name, value]) => (
            <div key={name} style={{ display: 'contents' }}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
          {listeners.length > 0 && (
            <>
              <dt>Serves</dt>
              <dd>
                {listeners.map(([resource, address]) => (
                  <div key={resource}>
                    <Untrusted text={resource} /> <code className="softer">{address}</code>
                  </div>
                ))}
              </dd>
            </>
          )}
        </dl>
        <div className="row wrap" style={{ gap: 4 }}>
          {Object.entries(agent.labels).map(([key, value]) => (
            <Badge key={key}>
              <Untrusted text={`${key}=${value}`} />
            </Badge>
          ))}
          <span className="grow" />
          {mayRevoke && agent.status !== 'revoked' && (
            <Button look="quiet" onClick={() => setRevoking(true)}>
              Revoke
            </Button>
          )}
        </div>
      </div>
      {revoking && <Revoke agent={agent} onClose={() => setRevoking(false)} />}
    </section>
  );
}

function Revoke({ agent, onClose }: { agent: Agent; onClose: () => void }) {
  const client = useQueryClient();
  const revoke = async (text: (name: string) => string) => {
    const reason = text('reason');
    await api(`/v1/agents/${agent.id}/revoke`, { method: 'POST', body: reason === '' ? {} : { reason } });
    await client.invalidateQueries({ queryKey: ['agents'] });
    toast('Revoked: it is refused from now on.');
    onClose();
  };
  return (
    <FormDialog title={`Revoke ${agent.name || 'the invitation'}`} submit="Revoke" danger onSubmit={revoke} onClose={onClose}>
      <p>Its certificate is refused at once and its sessions end. It can come back only with a new invitation.</p>
      <TextField name="reason" label="Reason" longest={500} first />
    </FormDialog>
  );
}

function Invite({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const [token, setToken] = useState<{ token: string; expiresAt: string } | null>(null);
  const [refused, setRefused] = useState('');
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setRefused('');
    try {
      const labels = labelsFrom(String(form.get('labels') ?? ''));
      setToken(await api('/v1/agents/invitations', { method: 'POST', body: { labels, expiresInSeconds: Number(form.get('seconds')) } }));
      await client.invalidateQueries({ queryKey: ['agents'] });
    } catch (error) {
      setRefused(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <Dialog title="Invite an agent" onClose={onClose} className="wide">
      {token === null ? (
        <form className="col" onSubmit={event => void submit(event)}>
          <div className="field">
            <label htmlFor="labels">Labels</label>
            <input
              id="labels"
              name="labels"
              className="input mono"
              placeholder="network=prod-eu env=prod"
              spellCheck={false}
              autoComplete="off"
              aria-describedby="labels-hint"
              data-first
            />
            <span id="labels-hint" className="softer">
              They decide which resources it serves and which credentials it gets; the agent cannot choose them.
            </span>
          </div>
          <div className="field">
            <label htmlFor="seconds">Good for</label>
            <select id="seconds" name="seconds" className="input" defaultValue="3600">
              <option value="600">10 minutes</option>
              <option value="3600">an hour</option>
              <option value="86400">a day</option>
            </select>
          </div>
          {refused !== '' && <Note tone="bad">{refused}</Note>}
          <div className="actions">
            <button type="submit" className="button primary">
              Make the invitation
            </button>
          </div>
        </form>
      ) : (
        <div className="col">
          <p>
            On the agent’s machine, with the control plane’s address that it can reach. The token works once, until{' '}
            <Time at={token.expiresAt} />, and is not shown again.
          </p>
          <Paste
            text={`sallyport agent --join ${shellWord(token.token)} --control-plane ${location.hostname}:8421 --data /var/lib/sallyport-agent`}
          />
          <span className="softer">It appears here as soon as it has joined.</span>
        </div>
      )}
    </Dialog>
  );
}

function labelsFrom(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const word of text.split(/[\s,]+/).filter(Boolean)) {
    const equals = word.indexOf('=');
    if (equals < 1) throw new Error(`${word} is no label: write name=value.`);
    labels[word.slice(0, equals)] = word.slice(equals + 1);
  }
  return labels;
}
