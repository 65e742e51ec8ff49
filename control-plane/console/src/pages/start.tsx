/** The way from an empty installation to the first recorded command; every step is checked, live. */
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { api } from '../api/client.ts';
import { type Me, may, useMe } from '../api/me.ts';
import type { Agent, Resource, Session } from '../api/types.ts';
import { ErrorNote, Loading, Note, Page, Paste } from '../ui/basics.tsx';
import { Ago } from '../ui/format.tsx';
import { Icon } from '../ui/icon.tsx';
import { Untrusted } from '../ui/untrusted.tsx';
import type { ManifestDocument } from './policies/policies.tsx';
import { connectLine, shellWord } from './resources.tsx';

const lookMs = 2000;

interface Found {
  providers: ManifestDocument[];
  resources: Resource[];
  agents: Agent[];
  roles: ManifestDocument[];
  sessions: Session[];
}

export function StartPage() {
  const me = useMe();
  const found = useQuery({
    queryKey: ['start'],
    queryFn: async ({ signal }): Promise<Found> => {
      const list = async <Key extends string, Row>(path: string, key: Key): Promise<Row[]> =>
        (await api<Record<Key, Row[]>>(path, { signal }))[key];
      const [providers, resources, agents, roles, sessions] = await Promise.all([
        list<'manifests', ManifestDocument>('/v1/manifests/IdentityProvider', 'manifests'),
        list<'resources', Resource>('/v1/resources', 'resources'),
        list<'agents', Agent>('/v1/agents', 'agents'),
        list<'manifests', ManifestDocument>('/v1/manifests/Role', 'manifests'),
        list<'sessions', Session>('/v1/search/sessions?limit=5', 'sessions'),
      ]);
      return { providers, resources, agents, roles, sessions };
    },
    refetchInterval: lookMs,
  });
  return (
    <Page title="First steps">
      {found.isPending && <Loading />}
      {found.isError && !found.data && <ErrorNote error={found.error} retry={() => void found.refetch()} />}
      {found.data && me.data && <Steps found={found.data} me={me.data} />}
    </Page>
  );
}

function Steps({ found, me }: { found: Found; me: Me }) {
  const { providers, resources, agents, roles, sessions } = found;
  const online = agents.filter(({ status }) => status === 'online');
  const served = resources.filter(({ address }) => address !== undefined);
  const broken = resources.filter(({ problems }) => problems.length > 0);
  const [first] = served;
  const [seen] = sessions;
  const mayEdit = may(me, 'admin');
  const write = (kind: string, text: string) =>
    mayEdit && (
      <Link className="button" to="/policies/$kind/$name" params={{ kind, name: 'new' }} search={{ view: 'new' }}>
        {text}
      </Link>
    );
  return (
    <ol className="pad narrow steps" aria-label="Steps">
      <Step number={1} title="Say who vouches for people" done={providers.length > 0}>
        {providers.length > 0 ? (
          <p className="soft">
            <Untrusted text={providers.map(({ metadata }) => metadata.name).join(', ')} />
          </p>
        ) : (
          <>
            <p className="soft">An OpenID Connect issuer. From then on people sign in here as themselves.</p>
            {write('IdentityProvider', 'Write an identity provider')}
          </>
        )}
      </Step>
      <Step number={2} title="Protect the first resource" done={resources.length > 0}>
        {resources.length > 0 ? (
          <p className="soft">
            <Untrusted text={resources.map(({ name }) => name).join(', ')} />
          </p>
        ) : (
          <>
            <p className="soft">A Credential, which is sealed and which no client ever sees, and a Resource that uses it.</p>
            <div className="row">
              {write('Credential', 'Write a credential')}
              {write('Resource', 'Write a resource')}
            </div>
          </>
        )}
      </Step>
      <Step number={3} title="Have an agent serve it" done={served.length > 0}>
        {served.length > 0 ? (
          <p className="soft">
            <Untrusted
              text={`${online.map(({ name }) => name).join(', ')} serves ${served.map(({ name, address }) => `${name} on ${address}`).join(', ')}`}
            />
          </p>
        ) : (
          <>
            {broken.map(({ name, problems }) => (
              <Note key={name} tone="bad">
                <Untrusted text={`${name}: ${problems.map(({ reason }) => reason).join('; ')}`} />
              </Note>
            ))}
            <p className="soft">
              {online.length > 0
                ? 'An agent is here, and nothing to serve for it yet.'
                : 'An agent stands in the network of the resource and dials out from there.'}
            </p>
            {may(me, 'operator') && (
              <Link className="button" to="/agents" search={{ invite: '1' }}>
                Invite an agent
              </Link>
            )}
          </>
        )}
      </Step>
      <Step number={4} title="Say who may use it" done={roles.length > 0}>
        {roles.length > 0 ? (
          <p className="soft">
            <Untrusted text={roles.map(({ metadata }) => metadata.name).join(', ')} />
          </p>
        ) : (
          <>
            <p className="soft">A Role lets groups of your identity provider in. Without one nobody is.</p>
            {write('Role', 'Write a role')}
          </>
        )}
      </Step>
      <Step number={5} title="Connect" done={seen !== undefined}>
        {seen === undefined ? (
          <>
            <p className="soft">
              On your own machine, with the{' '}
              <a className="link" href="/ca.crt" download="sallyport-ca.crt">
                CA certificate
              </a>
              ; this page sees it as soon as you are in.
            </p>
            <Paste text={loginLine(providers)} />
            <Paste text={connectLine(first?.name ?? 'RESOURCE')} />
          </>
        ) : (
          <p className="soft">
            We saw <Untrusted text={seen.principal} /> on <Untrusted text={seen.resource} />, <Ago at={seen.startedAt} />.{' '}
            <Link className="link" to="/sessions/$id" params={{ id: seen.sessionId }}>
              Read the session
            </Link>
          </p>
        )}
      </Step>
    </ol>
  );
}

function Step({ number, title, done, children }: { number: number; title: string; done: boolean; children: ReactNode }) {
  return (
    <li>
      <span className={done ? 'mark done' : 'mark'}>{done ? <Icon name="check" /> : number}</span>
      <div className="col">
        <h2>
          {title}
          {done && <span className="visually-hidden"> (done)</span>}
        </h2>
        {children}
      </div>
    </li>
  );
}

function loginLine(providers: readonly ManifestDocument[]): string {
  for (const { spec } of providers) {
    const { oidc } = spec as { oidc?: { issuer?: string; clientId?: string } };
    if (oidc?.issuer !== undefined)
      return `sallyport login --issuer ${shellWord(oidc.issuer)}${oidc.clientId === undefined ? '' : ` --client-id ${shellWord(oidc.clientId)}`}`;
  }
  return 'sallyport login';
}
