/** Ends a live session, with a reason that the person whose session it is gets to read. */
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../../api/client.ts';
import type { Session } from '../../api/types.ts';
import { Button } from '../../ui/basics.tsx';
import { FormDialog, TextField } from '../../ui/form-dialog.tsx';
import { useShortcuts } from '../../ui/keyboard.ts';
import { toast } from '../../ui/toast.tsx';
import { Untrusted } from '../../ui/untrusted.tsx';

export function KillSession({ session }: { session: Session }) {
  const client = useQueryClient();
  const [asking, setAsking] = useState(false);
  useShortcuts([{ keys: 'x', label: 'End the session', run: () => setAsking(true) }]);
  const kill = async (text: (name: string) => string) => {
    const reason = text('reason');
    await api(`/v1/sessions/${encodeURIComponent(session.sessionId)}/kill`, { method: 'POST', body: reason === '' ? {} : { reason } });
    setAsking(false);
    toast('The session is ended.');
    void client.invalidateQueries({ queryKey: ['session', session.sessionId] });
  };
  return (
    <>
      <Button look="danger" icon="stop" onClick={() => setAsking(true)}>
        End session <kbd className="only-wide">X</kbd>
      </Button>
      {asking && (
        <FormDialog
          title="End this session"
          submit="End session"
          danger
          cancel="Let it go on"
          onSubmit={kill}
          onClose={() => setAsking(false)}
        >
          <p>
            The connection of <Untrusted text={session.principal} /> to <Untrusted text={session.resource} /> is cut at once; what runs is
            cancelled.
          </p>
          <TextField name="reason" label="Reason" longest={500} first />
        </FormDialog>
      )}
    </>
  );
}
