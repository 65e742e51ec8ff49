/**
 * The aggregate of the keys that sign one kind of thing: streams `signing-key/ticket` and `signing-key/lease`. Before the first rotation
 * there is no event, and the installation's first key signs (pki/keys.ts).
 *
 * A new key is announced a while before it signs, so that whoever verifies has it by then, and the one before verifies until everything
 * that it has signed is over. Both moments are in the event: every replica keeps them, whatever it was started with.
 */
import { type Aggregate, type DomainEvent, grant, reject } from './decider.ts';
import { impossible } from './impossible.ts';

export type SigningKind = 'ticket' | 'lease';

export interface AnnouncedKey {
  id: string;
  /** Raw Ed25519, base64. */
  publicKey: string;
  /** PKCS #8, sealed to the key-encryption key, base64. */
  sealed: string;
  announcedAtMs: number;
  /** It signs from then on. */
  signsFromMs: number;
  /** Until then the key before it verifies what it has signed. */
  formerUntilMs: number;
}

export interface SigningKeyState {
  /** Oldest first. */
  keys: readonly AnnouncedKey[];
}

export interface SigningKeyRequest {
  type: 'announce';
  key: AnnouncedKey;
  /** Takes the place of one that is announced and does not sign yet. */
  hurried: boolean;
}

export interface SigningKeyEvent {
  type: 'SigningKeyAnnounced';
  payload: AnnouncedKey;
}

export const signingKeyAggregate: Aggregate<SigningKeyState, SigningKeyRequest, SigningKeyEvent> = {
  name: 'signing-key',
  initialState: { keys: [] },
  decide({ key, hurried }, { keys }) {
    const newest = keys.at(-1);
    if (newest?.id === key.id) return grant();
    if (newest !== undefined && key.announcedAtMs < newest.signsFromMs && !hurried) {
      return reject(
        'ROTATION_PENDING',
        'conflict',
        `A new key was announced and signs from ${new Date(newest.signsFromMs).toISOString()}: wait until then, or say when this one is to sign.`,
      );
    }
    if (!(key.signsFromMs >= key.announcedAtMs && key.formerUntilMs >= key.signsFromMs))
      return reject(
        'ROTATION_INVALID',
        'invalid',
        'A key is announced before it signs, and the one before it verifies until then at least.',
      );
    return grant({ type: 'SigningKeyAnnounced', payload: key });
  },
  evolve({ keys }, event: DomainEvent): SigningKeyState {
    const known = event as SigningKeyEvent;
    if (known.type !== 'SigningKeyAnnounced') return impossible('signing-key', '', event);
    return { keys: [...keys, known.payload] };
  },
};
