/**
 * The aggregate of one public key that somebody signs in with over SSH: stream `ssh-key/FINGERPRINT`, so that the log itself keeps a key
 * from being two people's. It ends by itself, and is free again when it has ended or was removed.
 *
 * Who may register it, how many somebody has, and that it is strong enough are the asker's to find out (http/ssh-keys.ts); whose keys end
 * with the person, the account or the issuer is the fold's (ssh-key-ring.ts). When it was last used is known from the sessions.
 */
import { type Aggregate, type DomainEvent, grant, reject } from './decider.ts';
import { impossible } from './impossible.ts';

export interface SshKeyHolder {
  kind: 'person' | 'workload';
  name: string;
  issuer: string;
  subject: string;
}

export interface SshKey {
  /** Of this registration: the same key, registered again, has another. */
  id: string;
  /** As `ssh-keygen -l` prints it. */
  fingerprint: string;
  type: string;
  /** Base64. */
  blob: string;
  label: string;
  holder: SshKeyHolder;
  /** Of a person, as they signed in to register it. */
  groups: readonly string[];
  registeredAtMs: number;
  registeredBy: string;
  expiresAtMs: number;
}

export type SshKeyState = { status: 'free' } | { status: 'registered'; key: SshKey };

export type SshKeyRequest = { type: 'register'; key: SshKey; nowMs: number } | { type: 'remove'; id: string };

export type SshKeyEvent =
  | { type: 'SshKeyRegistered'; payload: SshKey }
  | { type: 'SshKeyRemoved'; payload: { id: string; fingerprint: string; holder: SshKeyHolder } };

export const sshKeysOfHolderMax = 10;
export const sshKeyLifetimeMsMin = 60 * 1000;
export const sshKeyLifetimeMsMax = 366 * 24 * 60 * 60 * 1000;

export const sshKeyAggregate: Aggregate<SshKeyState, SshKeyRequest, SshKeyEvent> = {
  name: 'ssh-key',
  initialState: { status: 'free' },
  decide(request, state) {
    switch (request.type) {
      case 'register': {
        const { key, nowMs } = request;
        if (state.status === 'registered' && state.key.id === key.id) return grant();
        const lifetimeMs = key.expiresAtMs - nowMs;
        if (!(lifetimeMs >= sshKeyLifetimeMsMin && lifetimeMs <= sshKeyLifetimeMsMax))
          return reject('SSH_KEY_LIFETIME', 'invalid', 'A key is registered for a minute at least and 366 days at most.');
        if (state.status === 'free' || state.key.expiresAtMs <= nowMs) return grant({ type: 'SshKeyRegistered', payload: key });
        return isSameHolder(state.key.holder, key.holder)
          ? reject('SSH_KEY_KNOWN', 'conflict', 'The key is registered already: remove it first to register it for another time.')
          : reject('SSH_KEY_TAKEN', 'conflict', 'The key is registered for somebody else. Make another one: `ssh-keygen -t ed25519`.');
      }
      case 'remove':
        if (state.status === 'free' || state.key.id !== request.id)
          return reject('SSH_KEY_UNKNOWN', 'notFound', 'There is no such key, or not any more.');
        return grant({
          type: 'SshKeyRemoved',
          payload: { id: state.key.id, fingerprint: state.key.fingerprint, holder: state.key.holder },
        });
    }
  },
  evolve(state, event: DomainEvent): SshKeyState {
    const known = event as SshKeyEvent;
    if (known.type === 'SshKeyRegistered') return { status: 'registered', key: known.payload };
    if (known.type === 'SshKeyRemoved' && state.status === 'registered') return { status: 'free' };
    return impossible('ssh-key', state.status, event);
  },
};

/** By who they are, not by what they are called. */
export function isSameHolder(a: SshKeyHolder, b: SshKeyHolder): boolean {
  return a.kind === b.kind && a.issuer === b.issuer && a.subject === b.subject;
}

/** Fingerprints have slashes, which part streams' names. */
export function sshKeyStreamId(fingerprint: string): string {
  return fingerprint.slice('SHA256:'.length).replaceAll('+', '-').replaceAll('/', '_');
}
