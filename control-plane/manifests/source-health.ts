/**
 * How reading credentials at their sources goes: Vault, AWS Secrets Manager, files, users that Vault leases. A source that does not answer
 * stops nobody at once, since agents keep what they have; so somebody must be told before that is over. In memory: a control plane that
 * has just started knows after its first round.
 */
import { errorText } from '@sallyport/shared/errors.ts';
import type { SecretSource } from '@sallyport/shared/policy/model.ts';

export interface CredentialSource {
  credential: string;
  /** `Vault`, `AWS Secrets Manager`, `file`, `Vault database`. */
  kinds: readonly string[];
  checkedAtMs: number;
  /** null: the last round got everything. What the source said, without anything secret. */
  problem: string | null;
  /** When that began; null: there is no problem. */
  sinceMs: number | null;
  /** When the user that Vault has leased ends, unless it is renewed. */
  leaseEndsAtMs: number | null;
}

export class SourceHealth {
  readonly #now: () => number;
  readonly #sources = new Map<string, CredentialSource>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** @param error null: it went well. */
  checked(credential: string, kinds: readonly string[], leaseEndsAtMs: number | null, error: unknown): void {
    const before = this.#sources.get(credential);
    const checkedAtMs = this.#now();
    const outcome =
      error === null ? { problem: null, sinceMs: null } : { problem: errorText(error), sinceMs: before?.sinceMs ?? checkedAtMs };
    this.#sources.set(credential, { credential, kinds, checkedAtMs, leaseEndsAtMs, ...outcome });
  }

  /** Forgets credentials that are not there any more, or have no such source now. */
  keepOnly(credentials: ReadonlySet<string>): void {
    for (const known of [...this.#sources.keys()]) if (!credentials.has(known)) this.#sources.delete(known);
  }

  list(): CredentialSource[] {
    return [...this.#sources.values()].sort((a, b) => (a.credential < b.credential ? -1 : 1));
  }
}

/** What a source is called to people. */
export function sourceKind(source: SecretSource): string {
  if ('vault' in source) return 'Vault';
  if ('awsSecret' in source) return 'AWS Secrets Manager';
  return 'file' in source ? 'file' : 'manifest';
}
