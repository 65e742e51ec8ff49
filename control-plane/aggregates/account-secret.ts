/**
 * The aggregate of one service account's secrets: stream `account-secret/NAME`. For programs that no issuer gives a token: where one
 * does, a trust of the account is better, since nothing has to be kept.
 *
 * A secret is kept as its hash, ends by itself, and is one of at most two, so that the next one can be handed out while the one before
 * still works. It opens nothing by itself: it is exchanged for a ticket (http/account-secrets.ts). When it was last used is known from
 * the tickets that were issued for it, which are events anyway.
 *
 * That the account exists is the asker's to find out; that it is deleted ends its secrets in the fold (projection.ts).
 */
import { type Aggregate, type DomainEvent, grant, reject } from './decider.ts';
import { impossible } from './impossible.ts';

export interface AccountSecret {
  id: string;
  /** Of 256 random bits: SHA-256, base64url. */
  secretHash: string;
  createdAtMs: number;
  createdBy: string;
  expiresAtMs: number;
}

export interface AccountSecretsState {
  /** Oldest first. Those that have ended by themselves stay until the next event. */
  secrets: readonly AccountSecret[];
}

export type AccountSecretRequest = { type: 'create'; secret: AccountSecret; nowMs: number } | { type: 'revoke'; id: string; nowMs: number };

export type AccountSecretEvent =
  | { type: 'AccountSecretCreated'; payload: AccountSecret }
  | { type: 'AccountSecretRevoked'; payload: { id: string; atMs: number } };

/** The one in use, and the next one. */
export const liveSecretsMax = 2;
export const secretLifetimeMsMin = 60 * 1000;
export const secretLifetimeMsMax = 366 * 24 * 60 * 60 * 1000;

export const accountSecretAggregate: Aggregate<AccountSecretsState, AccountSecretRequest, AccountSecretEvent> = {
  name: 'account-secret',
  initialState: { secrets: [] },
  decide(request, { secrets }) {
    switch (request.type) {
      case 'create': {
        const { secret, nowMs } = request;
        const known = secrets.find(({ id }) => id === secret.id);
        if (known !== undefined)
          return known.secretHash === secret.secretHash ? grant() : reject('SECRET_ID_TAKEN', 'conflict', 'Another secret has this id.');
        const lifetimeMs = secret.expiresAtMs - nowMs;
        if (!(lifetimeMs >= secretLifetimeMsMin && lifetimeMs <= secretLifetimeMsMax))
          return reject('SECRET_LIFETIME', 'invalid', 'A secret lasts between a minute and 366 days.');
        if (secrets.filter(({ expiresAtMs }) => nowMs < expiresAtMs).length >= liveSecretsMax) {
          return reject(
            'SECRETS_TOO_MANY',
            'conflict',
            `A service account has at most ${liveSecretsMax} secrets, the one in use and the next: revoke one first.`,
          );
        }
        return grant({ type: 'AccountSecretCreated', payload: secret });
      }
      case 'revoke':
        if (!secrets.some(({ id }) => id === request.id))
          return reject('SECRET_UNKNOWN', 'notFound', 'There is no such secret, or not any more.');
        return grant({ type: 'AccountSecretRevoked', payload: { id: request.id, atMs: request.nowMs } });
    }
  },
  evolve({ secrets }, event: DomainEvent): AccountSecretsState {
    const known = event as AccountSecretEvent;
    if (known.type === 'AccountSecretCreated') {
      const { payload } = known;
      return { secrets: [...secrets.filter(({ expiresAtMs }) => expiresAtMs > payload.createdAtMs), payload] };
    }
    if (known.type === 'AccountSecretRevoked') {
      const { id, atMs } = known.payload;
      return { secrets: secrets.filter(each => each.id !== id && each.expiresAtMs > atMs) };
    }
    return impossible('account-secret', '', event);
  },
};
