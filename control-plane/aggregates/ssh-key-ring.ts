/**
 * All registered public keys (ssh-key.ts), and what is known of those who hold them: the groups in which somebody was when they last
 * signed in. Part of the projection: a fold, without a clock of its own.
 */
import { isSameHolder, type SshKey, type SshKeyHolder } from './ssh-key.ts';

/** A person as their identity provider had them. */
export interface SeenHolder {
  name: string;
  groups: readonly string[];
  atMs: number;
}

export class SshKeyRing {
  /** By the id of the registration, in order of registering. */
  readonly #keys: Map<string, SshKey>;
  /** Identity → person, of those who hold keys. */
  readonly #seen: Map<string, SeenHolder>;

  constructor(keys: Map<string, SshKey>, seen: Map<string, SeenHolder>) {
    this.#keys = keys;
    this.#seen = seen;
  }

  registered(key: SshKey, atMs: number): void {
    // Those that have ended go with the next that comes, as does one that was registered again.
    for (const known of [...this.#keys.values()])
      if (known.expiresAtMs <= atMs || known.fingerprint === key.fingerprint) this.removed(known.id);
    this.#keys.set(key.id, key);
    if (key.holder.kind === 'person') this.#seen.set(identityOf(key.holder), { name: key.holder.name, groups: key.groups, atMs });
  }

  removed(id: string): void {
    const key = this.#keys.get(id);
    if (key === undefined) return;
    this.#keys.delete(id);
    if (this.of(key.holder).length === 0) this.#seen.delete(identityOf(key.holder));
  }

  /** Somebody has signed in; kept of those who hold keys alone. */
  signedIn(identity: Pick<SshKeyHolder, 'issuer' | 'subject'>, person: SeenHolder): void {
    const known = this.#seen.get(identityOf(identity));
    if (known !== undefined && known.atMs <= person.atMs) this.#seen.set(identityOf(identity), person);
  }

  all(): readonly SshKey[] {
    return [...this.#keys.values()];
  }

  get(id: string): SshKey | undefined {
    return this.#keys.get(id);
  }

  of(holder: SshKeyHolder): SshKey[] {
    return [...this.#keys.values()].filter(key => isSameHolder(key.holder, holder));
  }

  /** What is known of a person who holds a key; undefined: nothing. */
  seen(holder: SshKeyHolder): SeenHolder | undefined {
    return holder.kind === 'person' ? this.#seen.get(identityOf(holder)) : undefined;
  }

  /** Whether somebody holds keys whose groups are worth to be known. */
  holds(identity: Pick<SshKeyHolder, 'issuer' | 'subject'>): boolean {
    return this.#seen.has(identityOf(identity));
  }

  /** Every name by which the holder of a key is or was known here, in lower case. */
  namesOf(key: SshKey): string[] {
    return [key.holder.name, this.seen(key.holder)?.name ?? ''].map(name => name.toLowerCase());
  }
}

function identityOf({ issuer, subject }: Pick<SshKeyHolder, 'issuer' | 'subject'>): string {
  return JSON.stringify([issuer, subject]);
}
