/** What is protected, where people connect to it, and what keeps agents from serving it. */
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../api/client.ts';
import type { Resource } from '../api/types.ts';
import { Badge, Button, Empty, ErrorNote, Loading, Note, Page, Paste, QueryLink } from '../ui/basics.tsx';
import { Dialog } from '../ui/dialog.tsx';
import { quoted } from '../ui/quoted.ts';
import { Untrusted } from '../ui/untrusted.tsx';

export function ResourcesPage() {
  const resources = useQuery({
    queryKey: ['resources'],
    queryFn: ({ signal }) => api<{ resources: Resource[] }>('/v1/resources', { signal }),
  });
  const [connecting, setConnecting] = useState<Resource | null>(null);
  const list = resources.data?.resources ?? [];
  return (
    <Page title="Resources">
      {resources.isPending && <Loading />}
      {resources.isError && <ErrorNote error={resources.error} retry={() => void resources.refetch()} />}
      {resources.isSuccess && list.length === 0 && (
        <Empty icon="resource" title="No resource that you may reach">
          <p>Whoever administers Sallyport gives access with a Role.</p>
        </Empty>
      )}
      {list.length > 0 && (
        <div className="pad grid cards">
          {list.map(resource => (
            <section key={resource.name} className="card">
              <header>
                <h2 className="grow truncate">
                  <Untrusted text={resource.name} />
                </h2>
                <Badge>{resource.protocol}</Badge>
              </header>
              <div className="body col">
                {resource.address === undefined ? (
                  <Note tone={resource.problems.length > 0 ? 'bad' : 'wait'}>
                    No agent serves it{resource.problems.length > 0 ? ':' : ' now.'}
                    {resource.problems.map(({ agent, reason }) => (
                      <div key={`${agent} ${reason}`}>
                        <strong>
                          <Untrusted text={agent} />
                        </strong>{' '}
                        <Untrusted text={reason} />
                      </div>
                    ))}
                  </Note>
                ) : (
                  <div className="row">
                    <span className="dot good" />
                    <code>
                      <Untrusted text={resource.addresses.join(', ')} />
                    </code>
                  </div>
                )}
                <div className="row wrap" style={{ gap: 4 }}>
                  {resource.database !== undefined && (
                    <Badge>
                      database <Untrusted text={resource.database} />
                    </Badge>
                  )}
                  {Object.entries(resource.labels).map(([key, value]) => (
                    <Badge key={key}>
                      <Untrusted text={`${key}=${value}`} />
                    </Badge>
                  ))}
                </div>
                <div className="row wrap">
                  <Button onClick={() => setConnecting(resource)} disabled={resource.address === undefined}>
                    Connect
                  </Button>
                  <QueryLink query={`resource:${quoted(resource.name)}`}>Sessions</QueryLink>
                  <QueryLink to="/commands" query={`resource:${quoted(resource.name)} decision:denied since:7d`}>
                    Denied this week
                  </QueryLink>
                </div>
              </div>
            </section>
          ))}
        </div>
      )}
      {connecting && <Connect resource={connecting} onClose={() => setConnecting(null)} />}
    </Page>
  );
}

function Connect({ resource, onClose }: { resource: Resource; onClose: () => void }) {
  const [host = '', port = ''] = splitAddress(resource.address ?? '');
  return (
    <Dialog title={`Connect to ${resource.name}`} onClose={onClose} className="wide">
      <p className="soft">
        The simplest way, on a machine with the command line, after <code>sallyport login</code>. The{' '}
        <a className="link" href="/ca.crt" download="sallyport-ca.crt">
          CA certificate
        </a>{' '}
        proves the gateway to it.
      </p>
      <Paste text={connectLine(resource.name)} />
      {resource.protocol === 'postgres' && (
        <>
          <p className="soft">With your own client: a ticket is the password, for minutes and for this resource alone.</p>
          <Paste
            text={`PGPASSWORD=$(sallyport ticket ${shellWord(resource.name)} --api ${location.origin}) psql "host=${host} port=${port} dbname=${resource.database ?? 'postgres'} user=me sslmode=verify-full sslrootcert=sallyport-ca.crt"`}
          />
        </>
      )}
      {resource.protocol === 'ssh' && (
        <>
          <p className="soft">With your own client: the token or a ticket is the password.</p>
          <Paste text={`ssh -p ${port} ${shellWord(resource.name)}@${host}`} />
        </>
      )}
    </Dialog>
  );
}

function splitAddress(address: string): [string, string] {
  const colon = address.lastIndexOf(':');
  return [address.slice(0, colon), address.slice(colon + 1)];
}

/** For a machine of one's own, with the CA certificate beside it. */
export function connectLine(resource: string): string {
  return `sallyport connect ${shellWord(resource)} --api ${location.origin} --ca sallyport-ca.crt`;
}

/** A name as a word of a shell: names that need quotes get them. */
export function shellWord(text: string): string {
  return /^[\w.@:/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
