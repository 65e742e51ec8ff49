/**
 * Keeps the users of databases that Vault leases: renews a lease well before its end, says when another user is due, with overlap, and
 * gives back the lease of a credential that is gone.
 *
 * What a lease has left is known from renewing it and kept in memory alone: a control plane that has just started renews at once. So
 * replicas need no agreement, and the control log has no event for a renewal. A user that is replaced is left to the end of its lease:
 * sessions may be using it.
 */
import type { VaultDatabase } from '@sallyport/shared/policy/model.ts';
import type { LeasedUser } from '../credentials/vault-database.ts';

export interface UserLeases {
  /** @throws {GatewayError} SECRET_MISSING. */
  issue(engine: VaultDatabase): Promise<LeasedUser>;
  /** Seconds from now on, or null when it is over or cannot be renewed. @throws {GatewayError} SECRET_MISSING. */
  renew(leaseId: string): Promise<number | null>;
  /** @throws {GatewayError} SECRET_MISSING. */
  revoke(leaseId: string): Promise<void>;
}

interface Held {
  leaseId: string;
  /** When Vault is asked again. */
  askAtMs: number;
  /** When it ends unless it is renewed. */
  endsAtMs: number;
}

export class LeasedUsers {
  readonly #leases: UserLeases;
  readonly #now: () => number;
  /** By credential. */
  readonly #held = new Map<string, Held>();

  constructor(leases: UserLeases, now: () => number = Date.now) {
    this.#leases = leases;
    this.#now = now;
  }

  /** A new user, to be kept with `keep` or given back with `giveBack`. @throws {GatewayError} SECRET_MISSING. */
  issue(engine: VaultDatabase): Promise<LeasedUser> {
    return this.#leases.issue(engine);
  }

  /** The credential uses it from now on. */
  keep(credential: string, { leaseId, seconds }: LeasedUser): void {
    this.#hold(credential, leaseId, seconds);
  }

  /** It was not used: a user that is left ends with its lease, so nothing depends on how this goes. */
  async giveBack({ leaseId }: LeasedUser): Promise<void> {
    await this.#leases.revoke(leaseId).catch(() => undefined);
  }

  /**
   * Renews the lease when that is due.
   * @returns whether the credential needs another user: there is half of the time left, or less, and no more to be had.
   * @throws {GatewayError} SECRET_MISSING.
   */
  async isDue(credential: string, user: LeasedUser): Promise<boolean> {
    const now = this.#now();
    const held = this.#held.get(credential);
    if (held?.leaseId === user.leaseId && now < held.askAtMs) return false;
    const left = await this.#leases.renew(user.leaseId);
    if (left === null || left <= user.seconds / 2) return true;
    this.#hold(credential, user.leaseId, left);
    return false;
  }

  /** When the user of a credential ends unless it is renewed; null: not known, or none is leased. */
  endsAtMs(credential: string): number | null {
    return this.#held.get(credential)?.endsAtMs ?? null;
  }

  #hold(credential: string, leaseId: string, seconds: number): void {
    const now = this.#now();
    this.#held.set(credential, { leaseId, askAtMs: now + (seconds * 1000) / 3, endsAtMs: now + seconds * 1000 });
  }

  /** Ends the leases of credentials that are there no more. */
  async endOthers(credentials: ReadonlySet<string>, onProblem: (credential: string, error: unknown) => void): Promise<void> {
    for (const [credential, { leaseId }] of this.#held) {
      if (credentials.has(credential)) continue;
      this.#held.delete(credential);
      await this.#leases.revoke(leaseId).catch((error: unknown) => onProblem(credential, error));
    }
  }
}
