/** A notification of the browser when something waits for this person and they look elsewhere. Asked for once, by a click. */
import { useEffect } from 'react';
import { onLiveEvent } from '../api/events.ts';
import type { Me } from '../api/me.ts';
import { type Approval, mayAnswer } from '../pages/inbox/approval-types.ts';

export function notificationsState(): NotificationPermission | 'unsupported' {
  return 'Notification' in window ? Notification.permission : 'unsupported';
}

export function useApprovalNotifications(me: Me): void {
  useEffect(
    () =>
      onLiveEvent(({ type, data }) => {
        if (type !== 'approval' || notificationsState() !== 'granted' || !document.hidden) return;
        const approval = data as unknown as Approval;
        if (approval.state !== 'pending' || approval.approvedBy.length > 0 || !mayAnswer(approval, me)) return;
        // The text of the command stays here: notifications lie on lock screens.
        const notification = new Notification('Sallyport: an approval is asked for', {
          body: `${approval.principal.name} on ${approval.resource}`,
          tag: approval.id,
        });
        notification.onclick = () => {
          window.focus();
          location.assign(`/inbox/${approval.id}`);
        };
      }),
    [me],
  );
}
