/** Legal holds: what is kept whatever audit policies say. Placed and released with a reason, both in the control log. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { api } from '../../api/client.ts';
import { Button, Card, ErrorNote, Loading, Note } from '../../ui/basics.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { Time } from '../../ui/format.tsx';
import { useShortcuts } from '../../ui/keyboard.ts';
import { toast } from '../../ui/toast.tsx';
import { Untrusted } from '../../ui/untrusted.tsx';
import { retentionKey } from './retention.tsx';

interface Hold {
  id: string;
  person?: string;
  resource?: string;
  session?: string;
  reason: string;
  placedAt: string;
}

const subjects = ['person', 'resource', 'session'] as const;
const holdsKey = ['legal-holds'] as const;

export function LegalHolds() {
  const holds = useQuery({
    queryKey: holdsKey,
    queryFn: ({ signal }) => api<{ holds: Hold[] }>('/v1/evidence/holds', { signal }),
  });
  const [asking, setAsking] = useState<'place' | Hold | null>(null);
  useShortcuts([{ keys: 'n', label: 'Place a legal hold', run: () => setAsking('place') }]);
  return (
    <Card
      title="Legal holds"
      actions={
        <Button icon="plus" onClick={() => setAsking('place')}>
          Place a hold <kbd className="only-wide">N</kbd>
        </Button>
      }
      flush
    >
      {holds.isPending && <Loading rows={2} />}
      {holds.isError && <ErrorNote error={holds.error} retry={() => void holds.refetch()} />}
      {holds.data?.holds.length === 0 && <p className="body soft">None: every session goes when its time is over.</p>}
      {holds.data !== undefined && holds.data.holds.length > 0 && (
        <div className="scroll" tabIndex={0} role="region" aria-label="Legal holds">
          <table className="table">
            <thead>
              <tr>
                <th scope="col">About</th>
                <th scope="col">Reason</th>
                <th scope="col">Since</th>
                <th scope="col">
                  <span className="visually-hidden">Release</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {holds.data.holds.map(hold => (
                <tr key={hold.id}>
                  <td>
                    <Untrusted text={about(hold)} />
                  </td>
                  <td>
                    <Untrusted text={hold.reason} />
                  </td>
                  <td>
                    <Time at={hold.placedAt} />
                  </td>
                  <td className="num">
                    <Button look="quiet" onClick={() => setAsking(hold)}>
                      Release
                    </Button>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {asking === 'place' && <Place onClose={() => setAsking(null)} />}
      {asking !== null && asking !== 'place' && <Release hold={asking} onClose={() => setAsking(null)} />}
    </Card>
  );
}

function about(hold: Hold): string {
  return subjects.flatMap(name => (hold[name] === undefined ? [] : [`${name} ${hold[name]}`])).join(', ');
}

function useChanged(): () => Promise<void> {
  const client = useQueryClient();
  return async () => {
    await Promise.all([holdsKey, retentionKey].map(queryKey => client.invalidateQueries({ queryKey })));
  };
}

function Place({ onClose }: { onClose: () => void }) {
  const changed = useChanged();
  const [refused, setRefused] = useState('');
  const place = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const given = [...new FormData(event.currentTarget)].map(([name, value]) => [name, String(value).trim()] as const);
    try {
      await api('/v1/evidence/holds', { method: 'POST', body: Object.fromEntries(given.filter(([, value]) => value !== '')) });
      await changed();
      toast('The hold is placed: nothing that it is about is deleted.');
      onClose();
    } catch (error) {
      setRefused(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <Dialog title="Place a legal hold" onClose={onClose}>
      <form className="col" onSubmit={event => void place(event)}>
        <p className="soft">Sessions that match all that is given are kept until the hold is released, those to come as well.</p>
        {subjects.map((name, index) => (
          <div key={name} className="field">
            <label htmlFor={`hold-${name}`}>{{ person: 'Person or workload', resource: 'Resource', session: 'Session' }[name]}</label>
            <input
              id={`hold-${name}`}
              name={name}
              className="input mono"
              maxLength={name === 'person' ? 512 : 128}
              autoComplete="off"
              spellCheck={false}
              {...(index === 0 ? { 'data-first': true } : {})}
            />
          </div>
        ))}
        <ReasonField placeholder="The case, and who asked for it" />
        {refused !== '' && <Note tone="bad">{refused}</Note>}
        <div className="actions">
          <Button onClick={onClose}>Cancel</Button>
          <button type="submit" className="button primary">
            Place the hold
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Release({ hold, onClose }: { hold: Hold; onClose: () => void }) {
  const changed = useChanged();
  const [refused, setRefused] = useState('');
  const release = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const reason = String(new FormData(event.currentTarget).get('reason') ?? '').trim();
    try {
      await api(`/v1/evidence/holds/${hold.id}/release`, { method: 'POST', body: { reason } });
      await changed();
      toast('The hold is released.');
      onClose();
    } catch (error) {
      setRefused(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <Dialog title="Release this hold" onClose={onClose}>
      <form className="col" onSubmit={event => void release(event)}>
        <p>
          What it keeps (<Untrusted text={about(hold)} />) and is past its time is deleted within the hour, and cannot be brought back.
        </p>
        <ReasonField first />
        {refused !== '' && <Note tone="bad">{refused}</Note>}
        <div className="actions">
          <Button onClick={onClose}>Keep it</Button>
          <button type="submit" className="button danger solid">
            Release the hold
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function ReasonField({ first = false, placeholder = '' }: { first?: boolean; placeholder?: string }) {
  return (
    <div className="field">
      <label htmlFor="hold-reason">Reason</label>
      <input
        id="hold-reason"
        name="reason"
        className="input"
        maxLength={2000}
        autoComplete="off"
        placeholder={placeholder}
        required
        {...(first ? { 'data-first': true } : {})}
      />
    </div>
  );
}
