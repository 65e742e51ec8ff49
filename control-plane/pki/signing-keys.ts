/**
 * The keys that sign tickets and leases: which one does now, and which ones verify. The first of each is the installation's own
 * (keys.ts); those after it are in the control log, sealed to the key-encryption key, so that all replicas change over at the same moment.
 *
 * When a key signs from is said when it is announced (aggregates/signing-key.ts): by default when no lease is about any more that does
 * not have it, so that agents which were away in between still know what they get. The certificate authority, the keys of SSH and
 * the key of evidence are not rotated here.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { PublicJwk } from '@sallyport/shared/policy/bundle.ts';
import { action, type ControlLog, type Provenance } from '../aggregates/control-log.ts';
import { type AnnouncedKey, type SigningKeyState, type SigningKind, signingKeyAggregate } from '../aggregates/signing-key.ts';
import type { ControlPlaneKeys } from './keys.ts';

export interface SigningKey {
  id: string;
  key: KeyObject;
  /** Raw Ed25519, 32 bytes. */
  publicKey: Uint8Array;
  /** null: since the installation was made. */
  signsFromMs: number | null;
}

export interface ShownKey {
  kind: SigningKind;
  id: string;
  state: 'announced' | 'signs' | 'verifies';
  /** null: since the installation was made. */
  announcedAtMs: number | null;
  signsFromMs: number | null;
  verifiesUntilMs: number | null;
}

const hourMs = 60 * 60 * 1000;
/** Clocks differ, and a message takes its time. */
const marginMs = 5 * 60 * 1000;
/** Agents that are connected have it in seconds. */
export const rotationInMsMin = 5_000;

export interface SigningKeysOptions {
  control: Pick<ControlLog, 'state' | 'execute'>;
  keys: ControlPlaneKeys;
  clock: () => number;
  leaseLifetimeMs: number;
  /** An agent whose certificate has ended joins anew, and gets the keys that are. */
  certificateLifetimeMs: number;
  /** Of what the ticket key signs, the longest: tickets, and the tokens of `sallyport login --console`. */
  ticketLifetimeMs: number;
}

export class SigningKeys {
  readonly #options: SigningKeysOptions;
  readonly #opened = new Map<string, KeyObject>();

  constructor(options: SigningKeysOptions) {
    this.#options = options;
  }

  /** The one that signs now. @throws {GatewayError} SECRET_UNSEALABLE when the key-encryption key is not the installation's. */
  current(kind: SigningKind): SigningKey {
    const nowMs = this.#options.clock();
    const newest = this.#announced(kind).findLast(({ signsFromMs }) => signsFromMs <= nowMs);
    if (newest === undefined) return this.#first(kind);
    const publicKey = new Uint8Array(Buffer.from(newest.publicKey, 'base64'));
    return { id: newest.id, key: this.#open(kind, newest), publicKey, signsFromMs: newest.signsFromMs };
  }

  /** Those that verify: the one that signs, those before it while what they signed lasts, and the one that is announced. */
  verifying(kind: SigningKind): { id: string; publicKey: Uint8Array }[] {
    return this.list(kind).map(({ id, publicKey }) => ({ id, publicKey }));
  }

  ticketJwks(): PublicJwk[] {
    return this.verifying('ticket').map(({ id, publicKey }) => {
      const x = Buffer.from(publicKey).toString('base64url');
      return { kty: 'OKP', crv: 'Ed25519', x, alg: 'EdDSA', use: 'sig', kid: id };
    });
  }

  list(kind: SigningKind): (ShownKey & { publicKey: Uint8Array })[] {
    const nowMs = this.#options.clock();
    const announced = this.#announced(kind);
    const first = this.#first(kind);
    const all = [
      { id: first.id, publicKey: first.publicKey, announcedAtMs: null, signsFromMs: null },
      ...announced.map(({ id, publicKey, announcedAtMs, signsFromMs }) => {
        return { id, publicKey: new Uint8Array(Buffer.from(publicKey, 'base64')), announcedAtMs, signsFromMs };
      }),
    ];
    const signing = this.current(kind).id;
    return all.flatMap((each, at) => {
      // A key that came in a hurry ends all before it, also one that was announced and has not signed yet.
      const ends = announced.slice(at).map(({ formerUntilMs }) => formerUntilMs);
      const verifiesUntilMs = ends.length === 0 ? null : Math.min(...ends);
      if (verifiesUntilMs !== null && nowMs >= verifiesUntilMs) return [];
      const state = each.id === signing ? 'signs' : (each.signsFromMs ?? 0) > nowMs ? 'announced' : 'verifies';
      return [{ kind, state, verifiesUntilMs, ...each } as const];
    });
  }

  /**
   * Announces a new key.
   *
   * @param inMs when it is to sign; absent: when every lease that does not have it is over. Sooner is for a key that somebody else may
   *   have, which verifies no more from then on: tickets have to be got anew, and agents that are not connected in between have to join
   *   anew (lease), or refuse new tickets until they come back (ticket).
   * @throws {GatewayError} ROTATION_PENDING, ROTATION_INVALID, or the log's errors.
   */
  async rotate(kind: SigningKind, inMs: number | undefined, provenance: Provenance): Promise<ShownKey> {
    const { control, keys, clock, leaseLifetimeMs, certificateLifetimeMs, ticketLifetimeMs } = this.#options;
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const raw = rawOf(publicKey);
    const id = this.#idOf(publicKey);
    const nowMs = clock();
    const overlapMs = (kind === 'lease' ? Math.max(leaseLifetimeMs, certificateLifetimeMs) : leaseLifetimeMs) + marginMs;
    const signsFromMs = nowMs + (inMs === undefined ? overlapMs : Math.max(inMs, rotationInMsMin));
    const der = privateKey.export({ format: 'der', type: 'pkcs8' });
    const key: AnnouncedKey = {
      ...{ id, publicKey: Buffer.from(raw).toString('base64'), sealed: keys.sealAtRest(der, contextOf(kind, id)) },
      ...{ announcedAtMs: nowMs, signsFromMs },
      // What came in a hurry is because somebody else may have the one before.
      formerUntilMs: inMs === undefined ? signsFromMs + (kind === 'lease' ? leaseLifetimeMs : ticketLifetimeMs) + marginMs : signsFromMs,
    };
    der.fill(0);
    const request = { type: 'announce', key, hurried: inMs !== undefined } as const;
    const outcome = await control.execute([action(signingKeyAggregate, kind, request)], provenance);
    if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
    return { kind, id, state: 'announced', announcedAtMs: nowMs, signsFromMs, verifiesUntilMs: null };
  }

  #announced(kind: SigningKind): readonly AnnouncedKey[] {
    return (this.#options.control.state.stream(`${signingKeyAggregate.name}/${kind}`).state as SigningKeyState).keys;
  }

  #first(kind: SigningKind): SigningKey {
    const { ticketKey, leaseKey } = this.#options.keys;
    const key = kind === 'ticket' ? ticketKey : leaseKey;
    const publicKey = createPublicKey(key);
    return { id: this.#idOf(publicKey), key, publicKey: rawOf(publicKey), signsFromMs: null };
  }

  #open(kind: SigningKind, { id, sealed }: AnnouncedKey): KeyObject {
    let key = this.#opened.get(id);
    if (key === undefined) {
      const der = this.#options.keys.openAtRest(sealed, contextOf(kind, id));
      key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
      der.fill(0);
      this.#opened.set(id, key);
    }
    return key;
  }

  #idOf(key: KeyObject): string {
    return this.#options.keys.fingerprint(key.export({ format: 'der', type: 'spki' }), 'ticket-key').slice(0, 16);
  }
}

/** How long the oldest key of a kind may sign before somebody should look. */
export const signingKeyOldMs = 365 * 24 * hourMs;

function contextOf(kind: SigningKind, id: string): string {
  return `signing-key/${kind}/${id}`;
}

function rawOf(key: KeyObject): Uint8Array {
  return new Uint8Array(Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url'));
}
