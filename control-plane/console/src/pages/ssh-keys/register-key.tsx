/**
 * Registering a public key: for oneself with a proof, which a line for one's own terminal makes; for a service account by
 * administrators, who vouch for it. The private half is asked for nowhere.
 */
import { ownershipStatement, PROOF_NAMESPACE } from '@sallyport/shared/ssh/key-ownership.ts';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../../api/client.ts';
import { type Me, may } from '../../api/me.ts';
import { Paste } from '../../ui/basics.tsx';
import { FormDialog, TextField } from '../../ui/form-dialog.tsx';
import { toast } from '../../ui/toast.tsx';
import type { ManifestDocument } from '../policies/policies.tsx';
import { shellWord } from '../resources.tsx';
import { sshKeysKey } from './ssh-keys.tsx';

const day = 24 * 3600;
const lifetimes: readonly (readonly [string, number])[] = [
  ['30 days', 30 * day],
  ['90 days', 90 * day],
  ['180 days', 180 * day],
  ['a year', 365 * day],
];
const keyCharactersMax = 16_384;

export function RegisterKey({ me, onClose }: { me: Me; onClose: () => void }) {
  const client = useQueryClient();
  const isPerson = me.kind === 'person';
  const accounts = useQuery({
    queryKey: ['manifests', 'ServiceAccount'],
    queryFn: ({ signal }) => api<{ manifests: ManifestDocument[] }>('/v1/manifests/ServiceAccount?limit=1000', { signal }),
    enabled: may(me, 'admin'),
  });
  const names = accounts.data?.manifests.map(({ metadata }) => metadata.name) ?? [];
  const [chosen, setChosen] = useState<string | null>(null);
  const account = chosen ?? (isPerson ? '' : (names[0] ?? ''));
  const register = async (text: (name: string) => string) => {
    const label = text('label');
    await api('/v1/ssh/keys', {
      method: 'POST',
      body: {
        publicKey: text('publicKey'),
        expiresInSeconds: Number(text('seconds')),
        ...(account === '' ? { proof: text('proof') } : { serviceAccount: account }),
        ...(label === '' ? {} : { label }),
      },
    });
    await client.invalidateQueries({ queryKey: sshKeysKey });
    toast('Registered. Agents know it within a second.');
    onClose();
  };
  return (
    <FormDialog
      title="Register a public key"
      submit="Register the key"
      cancel="Cancel"
      className="wide"
      onSubmit={register}
      onClose={onClose}
    >
      {names.length > 0 && (
        <div className="field">
          <label htmlFor="field-account">For</label>
          <select id="field-account" className="input" value={account} onChange={event => setChosen(event.target.value)}>
            {isPerson && <option value="">myself</option>}
            {names.map(name => (
              <option key={name} value={name}>
                service account {name}
              </option>
            ))}
          </select>
        </div>
      )}
      <TextField
        name="publicKey"
        label="Public key"
        longest={keyCharactersMax}
        required
        mono
        first
        lines={3}
        placeholder="ssh-ed25519 AAAA… me@laptop: the line of ~/.ssh/id_ed25519.pub"
      />
      {account === '' && (
        <>
          <p className="soft">
            That it is yours is shown by a signature. Run this where its private half is, and paste all that it prints:
          </p>
          <Paste text={proofLine(me.name)} />
          <TextField
            name="proof"
            label="Signature"
            longest={keyCharactersMax}
            required
            mono
            lines={5}
            placeholder="-----BEGIN SSH SIGNATURE-----"
          />
        </>
      )}
      <div className="row">
        <div className="grow">
          <TextField name="label" label="Label" longest={200} placeholder="the key’s own comment" />
        </div>
        <div className="field">
          <label htmlFor="field-seconds">Ends after</label>
          <select id="field-seconds" name="seconds" className="input" defaultValue={90 * day}>
            {lifetimes.map(([name, seconds]) => (
              <option key={seconds} value={seconds}>
                {name}
              </option>
            ))}
          </select>
        </div>
      </div>
    </FormDialog>
  );
}

/** For a shell of POSIX; with the public half, `ssh-keygen` signs by an agent as well. */
function proofLine(name: string): string {
  return `printf '%s\\n' ${shellWord(ownershipStatement(name).trimEnd())} | ssh-keygen -Y sign -n ${PROOF_NAMESPACE} -f ~/.ssh/id_ed25519.pub`;
}
