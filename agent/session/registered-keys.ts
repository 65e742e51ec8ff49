/**
 * The registered public keys of a lease: whose a key is, and in which groups they are by now. It verifies no signature; who asks has.
 */
import { timingSafeEqual } from 'node:crypto';
import type { LeaseBundle, LeasedSshKey } from '@sallyport/shared/policy/bundle.ts';
import type { Principal } from '@sallyport/shared/policy/model.ts';

export type KeyHolder = { known: true; principal: Principal } | { known: false; reason: string };

export class RegisteredKeys {
  readonly #byBlob: ReadonlyMap<string, LeasedSshKey>;
  readonly #byId: ReadonlyMap<string, LeasedSshKey>;
  readonly #accounts: LeaseBundle['serviceAccounts'];

  constructor({ sshKeys = [], serviceAccounts }: Pick<LeaseBundle, 'sshKeys' | 'serviceAccounts'>) {
    this.#byBlob = new Map(sshKeys.map(key => [key.blob, key]));
    this.#byId = new Map(sshKeys.map(key => [key.id, key]));
    this.#accounts = serviceAccounts;
  }

  /** @returns null for a key that nobody has registered, or that has ended. */
  find(blob: Buffer, nowMs: number): LeasedSshKey | null {
    const key = this.#byBlob.get(blob.toString('base64'));
    if (key === undefined || key.expiresAtMs <= nowMs) return null;
    const registered = Buffer.from(key.blob, 'base64');
    return registered.length === blob.length && timingSafeEqual(registered, blob) ? key : null;
  }

  /**
   * Who holds a key, with the groups that are known of them now. Of a person who has not signed in of late and whom no directory has,
   * nothing is known: they may have left.
   */
  holder(id: string, nowMs: number): KeyHolder {
    const key = this.#byId.get(id);
    if (key === undefined || key.expiresAtMs <= nowMs) return { known: false, reason: 'the public key is not registered, or not any more' };
    const { kind, name, issuer, subject, signIn, inDirectory } = key;
    if (kind === 'workload') {
      const account = this.#accounts.find(each => each.name === name);
      if (account === undefined) return { known: false, reason: `there is no service account ${JSON.stringify(name)} any more` };
      return { known: true, principal: { kind, name, issuer, subject, groups: [...account.spec.groups], delegation: [] } };
    }
    const isFresh = signIn !== undefined && nowMs < signIn.untilMs;
    if (!isFresh && inDirectory !== true) {
      return {
        known: false,
        reason: `${name} has not signed in for a day, and no directory has them: whether they still may is not known`,
      };
    }
    // Groups of the directory are the lease's to add, as for everybody.
    return { known: true, principal: { kind, name, issuer, subject, groups: isFresh ? [...signIn.groups] : [], delegation: [] } };
  }
}
