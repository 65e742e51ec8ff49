/** The approval of a command where the command stands: its effect, who answered, and the answer, for those who may see it. */
import { useQuery } from '@tanstack/react-query';
import { api } from '../../api/client.ts';
import type { Me } from '../../api/me.ts';
import { AnswerBar, Quorum, StateBadge } from './approval-details.tsx';
import type { Approval } from './approval-types.ts';
import { Effect } from './effect.tsx';

export function InlineApproval({ id, me }: { id: string; me: Me }) {
  const approval = useQuery({
    queryKey: ['approval', id],
    queryFn: ({ signal }) => api<Approval>(`/v1/approvals/${encodeURIComponent(id)}`, { signal }),
    // Whose it is not sees what the record says of it.
    retry: false,
  });
  if (approval.data === undefined) return null;
  return (
    <section className="card inline-approval" aria-label="Approval">
      <header>
        <h3 className="grow">Approval</h3>
        <StateBadge approval={approval.data} />
      </header>
      <div className="body col">
        <Effect preview={approval.data.preview} />
        <Quorum approval={approval.data} />
      </div>
      <AnswerBar key={id} approval={approval.data} me={me} />
    </section>
  );
}
