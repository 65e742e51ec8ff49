/** Ends a live session, with a reason that the person whose session it is gets to read. */
import { useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { api } from '../../api/client.ts';
import type { Session } from '../../api/types.ts';
import { Button, Note } from '../../ui/basics.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { useShortcuts } from '../../ui/keyboard.ts';
import { toast } from '../../ui/toast.tsx';
import { Untrusted } from '../../ui/untrusted.tsx';

export function KillSession({ session }: { session: Session }) {
  const client = useQueryClient();
  const [asking, setAsking] = useState(false);
  const [refused, setRefused] = useState('');
  useShortcuts([{ keys: 'x', label: 'End the session', run: () => setAsking(true) }]);
  const kill = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const reason = String(new FormData(event.currentTarget).get('reason') ?? '').trim();
    try {
      await api(`/v1/sessions/${encodeURIComponent(session.sessionId)}/kill`, { method: 'POST', body: reason === '' ? {} : { reason } });
      setAsking(false);
      toast('The session is ended.');
      void client.invalidateQueries({ queryKey: ['session', session.sessionId] });
    } catch (error) {
      setRefused(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <>
      <Button look="danger" icon="stop" onClick={() => setAsking(true)}>
        End session <kbd className="only-wide">X</kbd>
      </Button>
      {asking && (
        <Dialog title="End this session" onClose={() => setAsking(false)}>
          <form className="col" onSubmit={event => void kill(event)}>
            <p>
              The connection of <Untrusted text={session.principal} /> to <Untrusted text={session.resource} /> is cut at once; what runs is
              cancelled.
            </p>
            <div className="field">
              <label htmlFor="kill-reason">Reason</label>
              <input id="kill-reason" name="reason" className="input" maxLength={500} autoComplete="off" data-first />
            </div>
            {refused !== '' && <Note tone="bad">{refused}</Note>}
            <div className="actions">
              <Button onClick={() => setAsking(false)}>Let it go on</Button>
              <button type="submit" className="button danger solid">
                End session
              </button>
            </div>
          </form>
        </Dialog>
      )}
    </>
  );
}
