/** Asking for access to a resource for a time. Which resources may be asked for is not told: the answer says so. */
import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { api } from '../../api/client.ts';
import { Button } from '../../ui/basics.tsx';
import { FormDialog, TextField } from '../../ui/form-dialog.tsx';
import { useShortcuts } from '../../ui/keyboard.ts';
import type { Approval } from './approval-types.ts';

export function AskForAccess() {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  useShortcuts([{ keys: 'r', label: 'Ask for access', run: () => setAsking(true) }]);
  const ask = async (text: (name: string) => string) => {
    const body = { resource: text('resource'), seconds: Number(text('seconds')), reason: text('reason') };
    const { id } = await api<Approval>('/v1/requests', { method: 'POST', body });
    setAsking(false);
    await client.invalidateQueries({ queryKey: ['approvals'] });
    void navigate({ to: '/inbox/$id', params: { id } });
  };
  return (
    <>
      <Button icon="key" onClick={() => setAsking(true)}>
        Ask for access <kbd className="only-wide">R</kbd>
      </Button>
      {asking && (
        <FormDialog title="Ask for access" submit="Ask" onSubmit={ask} onClose={() => setAsking(false)}>
          <TextField name="resource" label="Resource" longest={253} required mono first />
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
          <TextField name="reason" label="Why" longest={1000} required />
        </FormDialog>
      )}
    </>
  );
}
