/**
 * The aggregate of keys that all replicas of one installation share: a stream a key, `key/lease.key`. The first that is accepted is the
 * key for ever; replicas that proposed another take this one (pki/shared-keys.ts). What is kept is sealed to the key-encryption key,
 * which is in no log.
 */
import { type Aggregate, type DomainEvent, grant } from './decider.ts';
import { impossible } from './impossible.ts';

export type InstallationKeyState = { status: 'absent' } | { status: 'adopted'; sealed: string };

export interface InstallationKeyRequest {
  type: 'adopt';
  /** An envelope, base64. */
  sealed: string;
}

export interface InstallationKeyEvent {
  type: 'KeyAdopted';
  payload: { sealed: string };
}

export const installationKeyAggregate: Aggregate<InstallationKeyState, InstallationKeyRequest, InstallationKeyEvent> = {
  name: 'key',
  initialState: { status: 'absent' },
  decide({ sealed }, state) {
    return state.status === 'adopted' ? grant() : grant({ type: 'KeyAdopted', payload: { sealed } });
  },
  evolve(state, event: DomainEvent): InstallationKeyState {
    const known = event as InstallationKeyEvent;
    if (known.type !== 'KeyAdopted' || state.status !== 'absent') return impossible('key', '', event);
    return { status: 'adopted', sealed: known.payload.sealed };
  },
};
