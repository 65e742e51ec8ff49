/** How long sessions are kept, by which audit policies, and what goes next. */
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { api } from '../../api/client.ts';
import { Card, Empty, ErrorNote, Loading, QueryLink } from '../../ui/basics.tsx';
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
          <div className="scroll" tabIndex={0} role="region" aria-label="Retention">
            <table className="table">
              <thead>
                <tr>
                  <th scope="col">Resource</th>
                  <th scope="col">Kept</th>
                  <th scope="col">By audit policy</th>
                  <th scope="col">Next to go</th>
                  <th scope="col" className="num">
                    Due
                  </th>
                  <th scope="col" className="num">
                    On hold
                  </th>
                  <th scope="col" className="num">
                    Without an end
                  </th>
                </tr>
              </thead>
              <tbody>
                {retention.data.resources.map(each => (
                  <Row key={each.resource} due={each} />
                ))}
              </tbody>
            </table>
          </div>
        ))}
      <p className="body softer">
        What is due goes within the hour, and the control log says so before it is done. A session without an end is never due; where
        several policies speak, the longest counts.
      </p>
    </Card>
  );
}

function Row({ due }: { due: Due }) {
  return (
    <tr>
      <td>
        <QueryLink query={`resource:${due.resource}`}>
          <Untrusted text={due.resource} />
        </QueryLink>
      </td>
      <td>{due.retentionMs === null ? 'for ever' : duration(due.retentionMs * 1000)}</td>
      <td>
        {due.policies.length === 0 && <span className="softer">none says how long</span>}
        {due.policies.map((name, index) => (
          <span key={name}>
            {index > 0 && ', '}
            <Link className="link" to="/policies/$kind/$name" params={{ kind: 'AuditPolicy', name }}>
              <Untrusted text={name} />
            </Link>
          </span>
        ))}
      </td>
      <td>{due.sessions > 0 ? 'within the hour' : due.next === null ? <span className="softer">nothing</span> : <Ago at={due.next} />}</td>
      <td className="num">{number(due.sessions)}</td>
      <td className="num">{number(due.held)}</td>
      <td className="num">{number(due.open)}</td>
    </tr>
  );
}
