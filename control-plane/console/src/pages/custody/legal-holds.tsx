/** Legal holds: what is kept whatever audit policies say. Placed and released with a reason, both in the control log. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../../api/client.ts';
import { Button, Card, ErrorNote, Loading } from '../../ui/basics.tsx';
import { DataTable } from '../../ui/data-table.tsx';
import { FormDialog, TextField } from '../../ui/form-dialog.tsx';
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
        <DataTable
          label="Legal holds"
          rows={holds.data.holds}
          keyOf={({ id }) => id}
          columns={[
            { title: 'About', cell: hold => <Untrusted text={about(hold)} /> },
            { title: 'Reason', cell: ({ reason }) => <Untrusted text={reason} /> },
            { title: 'Since', cell: ({ placedAt }) => <Time at={placedAt} /> },
            {
              title: 'Release',
              titleHidden: true,
              right: true,
              cell: hold => (
                <Button look="quiet" onClick={() => setAsking(hold)}>
                  Release
                </Button>
              ),
            },
          ]}
        />
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
  const place = async (text: (name: string) => string) => {
    const given = [...subjects, 'reason'].map(name => [name, text(name)] as const);
    await api('/v1/evidence/holds', { method: 'POST', body: Object.fromEntries(given.filter(([, value]) => value !== '')) });
    await changed();
    toast('The hold is placed: nothing that it is about is deleted.');
    onClose();
  };
  return (
    <FormDialog title="Place a legal hold" submit="Place the hold" cancel="Cancel" onSubmit={place} onClose={onClose}>
      <p className="soft">Sessions that match all that is given are kept until the hold is released, those to come as well.</p>
      {subjects.map((name, index) => (
        <TextField
          key={name}
          name={name}
          label={{ person: 'Person or workload', resource: 'Resource', session: 'Session' }[name]}
          longest={name === 'person' ? 512 : 128}
          mono
          first={index === 0}
        />
      ))}
      <TextField name="reason" label="Reason" longest={2000} required placeholder="The case, and who asked for it" />
    </FormDialog>
  );
}

function Release({ hold, onClose }: { hold: Hold; onClose: () => void }) {
  const changed = useChanged();
  const release = async (text: (name: string) => string) => {
    await api(`/v1/evidence/holds/${hold.id}/release`, { method: 'POST', body: { reason: text('reason') } });
    await changed();
    toast('The hold is released.');
    onClose();
  };
  return (
    <FormDialog title="Release this hold" submit="Release the hold" danger cancel="Keep it" onSubmit={release} onClose={onClose}>
      <p>
        What it keeps (<Untrusted text={about(hold)} />) and is past its time is deleted within the hour, and cannot be brought back.
      </p>
      <TextField name="reason" label="Reason" longest={2000} required first />
    </FormDialog>
  );
}
