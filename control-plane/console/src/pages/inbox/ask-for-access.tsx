/** Asking for access to a resource for a time. Which resources may be asked for is not told: the answer says so. */
import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';
import { api } from '../../api/client.ts';
import { Button, Note } from '../../ui/basics.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { useShortcuts } from '../../ui/keyboard.ts';
import { Untrusted } from '../../ui/untrusted.tsx';
import type { Approval } from './approval-types.ts';

export function AskForAccess() {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const [refused, setRefused] = useState('');
  useShortcuts([{ keys: 'r', label: 'Ask for access', run: () => setAsking(true) }]);
  const ask = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? '').trim();
    try {
      const body = { resource: text('resource'), seconds: Number(text('seconds')), reason: text('reason') };
      const { id } = await api<Approval>('/v1/requests', { method: 'POST', body });
      setAsking(false);
      await client.invalidateQueries({ queryKey: ['approvals'] });
      void navigate({ to: '/inbox/$id', params: { id } });
    } catch (error) {
      setRefused(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <>
      <Button
        icon="key"
        onClick={() => {
          setRefused('');
          setAsking(true);
        }}
      >
        Ask for access <kbd className="only-wide">R</kbd>
      </Button>
      {asking && (
        <Dialog title="Ask for access" onClose={() => setAsking(false)}>
          <form className="col" onSubmit={event => void ask(event)}>
            <div className="field">
              <label htmlFor="access-resource">Resource</label>
              <input
                id="access-resource"
                name="resource"
                className="input"
                required
                maxLength={253}
                autoComplete="off"
                spellCheck={false}
                data-first
              />
            </div>
            <div className="field">
              <label htmlFor="access-seconds">For</label>
              <select id="access-seconds" name="seconds" className="input" defaultValue="3600">
                <option value="900">15 minutes</option>
                <option value="3600">an hour</option>
                <option value="14400">4 hours</option>
                <option value="28800">8 hours</option>
                <option value="86400">a day</option>
              </select>
            </div>
            <div className="field">
              <label htmlFor="access-reason">Why</label>
              <input id="access-reason" name="reason" className="input" required maxLength={1000} autoComplete="off" />
            </div>
            {refused !== '' && (
              <Note tone="bad">
                <Untrusted text={refused} />
              </Note>
            )}
            <div className="actions">
              <button type="submit" className="button primary">
                Ask
              </button>
            </div>
          </form>
        </Dialog>
      )}
    </>
  );
}
