/**
 * Registered public keys: made by those whose they are, or by an administrator for a service account, listed and removed. A person shows
 * that the key is theirs, by a signature over their name: else somebody could register another's key and see what its owner does.
 */
import { randomUUIDv7 } from 'node:crypto';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import { ownershipStatement, PROOF_NAMESPACE } from '@sallyport/shared/ssh/key-ownership.ts';
import { parseRegisteredKeyLine, verifyArmoured } from '@sallyport/shared/ssh/registered-key.ts';
import { action, type ControlLog, informedAction, type Provenance } from '../aggregates/control-log.ts';
import type { Rejection } from '../aggregates/decider.ts';
import { manifestKinds } from '../aggregates/manifest.ts';
import type { Projection } from '../aggregates/projection.ts';
import {
  type SshKey,
  type SshKeyHolder,
  type SshKeyRequest,
  sshKeyAggregate,
  sshKeyStreamId,
  sshKeysOfHolderMax,
} from '../aggregates/ssh-key.ts';
import { userAggregate } from '../aggregates/user.ts';
import { ticketIssuer } from '../leases/lease-bundle.ts';
import type { SessionHistory } from './session-history.ts';

export interface KeyToRegister {
  /** The line of KEY.pub. */
  line: string;
  /** Empty: the line's comment. */
  label: string;
  lifetimeMs: number;
}

export interface KeyUse {
  /** RFC 3339. */
  lastUsedAt: string;
  lastUsedFrom: string;
  sessions: number;
}

export class SshKeys {
  readonly #control: ControlLog;
  readonly #history: SessionHistory;
  readonly #clock: () => number;

  constructor({ control, history, clock }: { control: ControlLog; history: SessionHistory; clock: () => number }) {
    this.#control = control;
    this.#history = history;
    this.#clock = clock;
  }

  /**
   * Registers a person's own key.
   * @param proof what `ssh-keygen -Y sign -n sallyport` makes of `ownershipStatement(name)`.
   * @throws {GatewayError} SSH_KEY_REFUSED, SSH_KEY_UNPROVED, SSH_KEY_LIFETIME, SSH_KEY_TAKEN, SSH_KEY_KNOWN, SSH_KEYS_TOO_MANY, or the log's errors.
   */
  async registerOwn(person: Principal, asked: KeyToRegister, proof: string, provenance: Provenance): Promise<SshKey> {
    const key = parseRegisteredKeyLine(asked.line);
    const statement = ownershipStatement(person.name);
    if (!verifyArmoured(key, PROOF_NAMESPACE, proof, statement)) {
      throw new GatewayError(
        'SSH_KEY_UNPROVED',
        'invalid',
        `The proof that the key is yours is not right. \`sallyport ssh-key add\` makes it; by hand: printf ${JSON.stringify(statement)} | ssh-keygen -Y sign -n ${PROOF_NAMESPACE} -f KEY`,
      );
    }
    const { kind, name, issuer, subject, groups } = person;
    return this.#register(asked, { kind, name, issuer, subject }, groups, provenance);
  }

  /** Registers a key of a service account. @throws {GatewayError} ACCOUNT_UNKNOWN, and as `registerOwn`. */
  async registerForAccount(account: string, asked: KeyToRegister, provenance: Provenance): Promise<SshKey> {
    const holder: SshKeyHolder = { kind: 'workload', name: account, issuer: ticketIssuer, subject: `service-account:${account}` };
    return this.#register(asked, holder, [], provenance);
  }

  async #register(asked: KeyToRegister, holder: SshKeyHolder, groups: readonly string[], provenance: Provenance): Promise<SshKey> {
    const { type, blob, fingerprint, comment } = parseRegisteredKeyLine(asked.line);
    const nowMs = this.#clock();
    const key: SshKey = {
      ...{ id: randomUUIDv7(), fingerprint, type, blob: blob.toString('base64'), label: asked.label || comment, holder, groups },
      ...{ registeredAtMs: nowMs, registeredBy: provenance.author, expiresAtMs: nowMs + asked.lifetimeMs },
    };
    // Who is taken out, or an account that is deleted, meanwhile gets none; nor does anybody get more than the bound by asking twice at once.
    const looksAt = [sshKeyAggregate.name, holder.kind === 'person' ? userAggregate.name : manifestKinds.ServiceAccount];
    const decided = informedAction(sshKeyAggregate, sshKeyStreamId(fingerprint), looksAt, all => registration(all, key, nowMs));
    const outcome = await this.#control.execute([decided], provenance);
    if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
    return key;
  }

  /** Those that have not ended, in order of registering. */
  list(): SshKey[] {
    const nowMs = this.#clock();
    return this.#control.state.sshKeys.all().filter(({ expiresAtMs }) => nowMs < expiresAtMs);
  }

  find(id: string): SshKey | undefined {
    return this.list().find(key => key.id === id);
  }

  /** By registration; null: the session store does not answer, which keeps nobody from removing a key. */
  async uses(keys: readonly SshKey[]): Promise<ReadonlyMap<string, KeyUse> | null> {
    if (keys.length === 0) return new Map();
    try {
      const rows = await this.#history.rows<KeyUse & { id: string }>(
        `SELECT token_id AS id, formatDateTime(max(started_at), '%FT%TZ', 'UTC') AS lastUsedAt,
                argMax(client_address, started_at) AS lastUsedFrom, toUInt32(count()) AS sessions
         FROM sallyport.sessions WHERE protocol = 'ssh' AND has({ids:Array(String)}, token_id) AND status != 'refused' GROUP BY token_id`,
        { ids: keys.map(({ id }) => id) },
      );
      return new Map(rows.map(({ id, ...use }) => [id, use]));
    } catch (error) {
      if (error instanceof GatewayError && error.kind === 'unavailable') return null;
      throw error;
    }
  }

  /** Ends it, and the sessions that it has opened. @throws {GatewayError} SSH_KEY_UNKNOWN, or the log's errors. */
  async remove({ id, fingerprint }: SshKey, provenance: Provenance): Promise<void> {
    const decided = action(sshKeyAggregate, sshKeyStreamId(fingerprint), { type: 'remove', id });
    const outcome = await this.#control.execute([decided], provenance);
    if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
  }
}

function registration(all: Projection, key: SshKey, nowMs: number): SshKeyRequest | Rejection {
  const { holder } = key;
  if (holder.kind === 'person' && all.isBlocked(holder.name))
    return { code: 'PERSON_DEPROVISIONED', kind: 'denied', message: 'The directory has taken you out.' };
  if (holder.kind === 'workload' && all.manifest('ServiceAccount', holder.name) === undefined)
    return { code: 'ACCOUNT_UNKNOWN', kind: 'notFound', message: 'There is no such service account.' };
  const others = all.sshKeys.of(holder).filter(({ id, expiresAtMs }) => id !== key.id && nowMs < expiresAtMs);
  if (others.length >= sshKeysOfHolderMax)
    return { code: 'SSH_KEYS_TOO_MANY', kind: 'conflict', message: `Nobody has more than ${sshKeysOfHolderMax} keys: remove one first.` };
  return { type: 'register', key, nowMs };
}
