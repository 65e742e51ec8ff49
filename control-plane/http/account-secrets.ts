/**
 * Secrets of service accounts: made, listed, revoked, and exchanged. The secret itself is in the one answer that makes it and nowhere
 * else; no agent takes it, and the API takes it at the token exchange alone.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Manifest, Principal } from '@sallyport/shared/policy/model.ts';
import { type AccountSecret, type AccountSecretRequest, accountSecretAggregate } from '../aggregates/account-secret.ts';
import { action, type ControlLog, informedAction, type Provenance } from '../aggregates/control-log.ts';
import type { Rejection } from '../aggregates/decider.ts';
import { manifestKinds } from '../aggregates/manifest.ts';
import { Buckets, type Rate } from '../buckets.ts';
import { ticketIssuer } from '../leases/lease-bundle.ts';
import { accountSecretMatches, hashAccountSecret, mintAccountSecret, parseAccountSecret } from '../pki/account-secret.ts';
import { RateLimited } from './rate-limit.ts';

export interface ShownSecret {
  id: string;
  account: string;
  createdAtMs: number;
  createdBy: string;
  expiresAtMs: number;
  use: { atMs: number; from: string; tickets: number } | null;
}

/** Every exchange is an event: a program that asks for a ticket at each of its connections must not fill the log. */
const exchangesOfSecret: Rate = { burst: 120, perSecond: 1 };
/** A secret may have been made at another replica a moment ago. */
const catchUpMs = 2_000;

const unknown = () => new GatewayError('SECRET_UNKNOWN', 'notFound', 'There is no such secret, or not any more.');

export class AccountSecrets {
  readonly #control: ControlLog;
  readonly #clock: () => number;
  readonly #exchanges: Buckets;

  constructor({ control, clock }: { control: ControlLog; clock: () => number }) {
    this.#control = control;
    this.#clock = clock;
    this.#exchanges = new Buckets(clock);
  }

  /** @throws {GatewayError} ACCOUNT_UNKNOWN, SECRET_LIFETIME, SECRETS_TOO_MANY, or the log's errors. */
  async create(account: string, lifetimeMs: number, provenance: Provenance): Promise<{ text: string; secret: AccountSecret }> {
    const { text, id, secretHash } = mintAccountSecret();
    const nowMs = this.#clock();
    const secret = { id, secretHash, createdAtMs: nowMs, createdBy: provenance.author, expiresAtMs: nowMs + lifetimeMs };
    // An account that is deleted meanwhile gets none.
    const decided = informedAction(
      accountSecretAggregate,
      account,
      [manifestKinds.ServiceAccount],
      (all): AccountSecretRequest | Rejection =>
        all.manifest('ServiceAccount', account) === undefined
          ? { code: 'ACCOUNT_UNKNOWN', kind: 'notFound', message: 'There is no such service account.' }
          : { type: 'create', secret, nowMs },
    );
    const outcome = await this.#control.execute([decided], provenance);
    if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
    return { text, secret };
  }

  /** Of accounts in order of their names. */
  list(account?: string): ShownSecret[] {
    const nowMs = this.#clock();
    return this.#control.state
      .accountSecrets()
      .filter(each => (account === undefined || each.account === account) && nowMs < each.secret.expiresAtMs)
      .map(({ account: of, secret: { id, createdAtMs, createdBy, expiresAtMs } }) => {
        return { id, account: of, createdAtMs, createdBy, expiresAtMs, use: this.#control.state.accountSecretUse(id) };
      });
  }

  /** Ends it, and with it the tickets that it was exchanged for and the sessions that these have opened. @throws {GatewayError} SECRET_UNKNOWN. */
  async revoke(id: string, provenance: Provenance): Promise<void> {
    const found = this.#control.state.accountSecret(id);
    if (found === undefined) throw unknown();
    const decided = action(accountSecretAggregate, found.account, { type: 'revoke', id, nowMs: this.#clock() });
    const outcome = await this.#control.execute([decided], provenance);
    if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
  }

  isGood(id: string): boolean {
    const found = this.#control.state.accountSecret(id);
    return found !== undefined && this.#clock() < found.secret.expiresAtMs;
  }

  /**
   * Whose secret it is; null when it is nobody's, or has ended.
   * @throws {RateLimited} when it was exchanged too often.
   */
  async verify(text: string): Promise<{ id: string; principal: Principal; expiresAtMs: number } | null> {
    const parsed = parseAccountSecret(text);
    if (parsed === null) return null;
    const { state } = this.#control;
    let found = state.accountSecret(parsed.id);
    if (found === undefined && (await this.#control.catchUp(catchUpMs))) found = state.accountSecret(parsed.id);
    // The same work whether there is such an id.
    const matches = accountSecretMatches(parsed.secret, found?.secret.secretHash ?? hashAccountSecret(''));
    if (found === undefined || !matches || this.#clock() >= found.secret.expiresAtMs) return null;
    const manifest = state.manifest('ServiceAccount', found.account)?.manifest as Manifest<'ServiceAccount'> | undefined;
    if (manifest === undefined) return null;
    const taken = this.#exchanges.take(parsed.id, exchangesOfSecret);
    if (!taken.taken) throw new RateLimited(taken.retryAfterSeconds);
    const principal: Principal = {
      ...{ kind: 'workload', name: manifest.name, issuer: ticketIssuer, subject: `service-account:${manifest.name}` },
      ...{ groups: [...manifest.spec.groups], delegation: [] },
    };
    return { id: parsed.id, principal, expiresAtMs: found.secret.expiresAtMs };
  }
}
