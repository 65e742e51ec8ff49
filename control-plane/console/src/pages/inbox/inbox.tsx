/** What waits for somebody's yes: held commands and requests for access. */
import { useQuery } from '@tanstack/react-query';
import { useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { api } from '../../api/client.ts';
import { useIsLive } from '../../api/events.ts';
import { type Me, useMe } from '../../api/me.ts';
import { notificationsState } from '../../app/notifications.ts';
import { Badge, Button, Empty, ErrorNote, Loading } from '../../ui/basics.tsx';
import { Icon } from '../../ui/icon.tsx';
import { ListAndDetail } from '../../ui/list-and-detail.tsx';
import { Sql } from '../../ui/sql.tsx';
import { Untrusted } from '../../ui/untrusted.tsx';
import { ApprovalDetails, StateBadge } from './approval-details.tsx';
import { type Approval, isAccess, isOwn, mayAnswer } from './approval-types.ts';
import { AskForAccess } from './ask-for-access.tsx';

export function InboxPage() {
  const me = useMe();
  return me.data ? <Inbox me={me.data} /> : null;
}

function Inbox({ me }: { me: Me }) {
  const { id } = useParams({ strict: false });
  const navigate = useNavigate();
  const live = useIsLive();
  const approvals = useQuery({
    queryKey: ['approvals', 'pending'],
    queryFn: ({ signal }) => api<{ approvals: Approval[] }>('/v1/approvals', { signal }),
    refetchInterval: live ? false : 2000,
  });
  const list = sorted(approvals.data?.approvals ?? [], me);
  const open = (next: string | undefined) =>
    void (next === undefined ? navigate({ to: '/inbox' }) : navigate({ to: '/inbox/$id', params: { id: next } }));
  const before = approvals.isPending ? (
    <Loading />
  ) : approvals.isError ? (
    <ErrorNote error={approvals.error} retry={() => void approvals.refetch()} />
  ) : list.length === 0 && id === undefined ? (
    <Empty icon="inbox" title="Nothing waits">
      <p>Held commands and requests for access that you may answer come here, and your own while they wait.</p>
    </Empty>
  ) : null;
  return (
    <ListAndDetail
      title="Inbox"
      label="Approvals"
      whenEmpty="Nothing else waits."
      actions={
        <>
          {me.kind === 'person' && <AskForAccess />}
          <NotifyButton />
        </>
      }
      list={list}
      current={id}
      onOpen={open}
      before={before}
      item={(approval, isCurrent) => (
        <Item key={approval.id} approval={approval} me={me} current={isCurrent} onOpen={() => open(approval.id)} />
      )}
      detail={
        id !== undefined ? (
          <ApprovalDetails id={id} me={me} />
        ) : (
          <Empty icon="inbox" title={`${list.length} ${list.length === 1 ? 'waits' : 'wait'}`}>
            <p>
              <kbd>J</kbd> and <kbd>K</kbd> go through them, <kbd>A</kbd> approves, <kbd>D</kbd> denies.
            </p>
          </Empty>
        )
      }
    />
  );
}

/** What this person can answer first, then what runs out first. */
function sorted(approvals: readonly Approval[], me: Me): Approval[] {
  return [...approvals].sort(
    (a, b) => Number(mayAnswer(b, me)) - Number(mayAnswer(a, me)) || (a.expiresAt < b.expiresAt ? -1 : a.expiresAt > b.expiresAt ? 1 : 0),
  );
}

function Item({ approval, me, current, onOpen }: { approval: Approval; me: Me; current: boolean; onOpen: () => void }) {
  const needed = approval.quorum * Math.max(1, approval.groups.length);
  return (
    <button type="button" className="item" aria-current={current} onClick={onOpen}>
      <span className="row spread">
        <span className="row truncate">
          <Icon name={approval.principal.kind === 'workload' ? 'bot' : 'user'} />
          <span className="truncate">
            <Untrusted text={approval.principal.name} />
          </span>
        </span>
        <StateBadge approval={approval} />
      </span>
      <span className="item-text">
        {isAccess(approval) ? <Untrusted text={approval.access?.reason ?? approval.text} /> : <Sql text={approval.text} line />}
      </span>
      <span className="row softer">
        <Untrusted text={approval.resource} />
        {isOwn(approval, me) && <Badge>yours</Badge>}
        {needed > 1 && (
          <Badge>
            {approval.approvedBy.length} of {needed}
          </Badge>
        )}
        {approval.approvedBy.includes(me.name) && <Badge tone="good">approved by you</Badge>}
      </span>
    </button>
  );
}

function NotifyButton() {
  const [state, setState] = useState(notificationsState);
  if (state !== 'default') return null;
  return (
    <Button icon="bell" onClick={() => void Notification.requestPermission().then(setState)}>
      Notify me
    </Button>
  );
}
