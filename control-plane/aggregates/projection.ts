/**
 * The control plane's state: a fold over `sallyport.control` and nothing else. Every replica that has folded the same entries has the
 * same state, because the rule of acceptance looks at nothing but the log: an event counts if its stream is at the version that the
 * event expects, and so are the kinds of streams that the decision looked at. The losers of a race, and second deliveries of an accepted event, therefore fall out by themselves.
 *
 * This file does no I/O; control-log.ts reads and appends.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { type DirectoryGroup, inDirectory } from '@sallyport/shared/identity/directory-groups.ts';
import type { AccessGrant } from '@sallyport/shared/policy/access-grants.ts';
import type { IdentityProviderSpec, Kind, Manifest, Principal } from '@sallyport/shared/policy/model.ts';
import { kindsFit } from './acceptance.ts';
import { type AccountSecret, type AccountSecretsState, accountSecretAggregate } from './account-secret.ts';
import { administrationAggregate, type IssuedTicket } from './administration.ts';
import { type AgentState, agentAggregate } from './agent.ts';
import { type ApprovalState, accessGrantOf, approvalAggregate } from './approval.ts';
import { type Author, authorsAfter, authorsInForce } from './authors.ts';
import { type ChangeState, changeAggregate } from './change.ts';
import { type CheckpointState, checkpointAggregate } from './checkpoint.ts';
import { type ContentKeyState, contentKeyAggregate } from './content-key.ts';
import type { Aggregate, DomainEvent } from './decider.ts';
import { type EditionState, editionAggregate, editionStreamId } from './edition.ts';
import { type Editions, editions } from './editions.ts';
import { Directory, type GroupState, groupAggregate } from './group.ts';
import { installationKeyAggregate } from './installation-key.ts';
import { type ManifestState, manifestAggregates, manifestKinds, type SealedSecret } from './manifest.ts';
import { type RetentionState, retentionAggregate } from './retention.ts';
import { signingKeyAggregate } from './signing-key.ts';
import { type SshKey, type SshKeyState, sshKeyAggregate, sshKeyStreamId } from './ssh-key.ts';
import { type SeenHolder, SshKeyRing } from './ssh-key-ring.ts';
import { type TicketState, ticketAggregate } from './ticket-revocation.ts';
import { type TimestampState, timestampAggregate } from './timestamp.ts';
import { upcast } from './upcast.ts';
import { KeptOut, type UserState, userAggregate } from './user.ts';

/** An event with its envelope, decoded. */
export interface RecordedEvent {
  eventId: string;
  stream: string;
  expectedVersion: bigint;
  /** Kind of stream → its version (`kindVersion`) at which the decision was made; absent: it looked at its own stream alone. */
  expectedKinds?: Record<string, bigint>;
  type: string;
  schema: number;
  payload: unknown;
  atUnixUs: bigint;
  author: string;
  authorIdentity?: { issuer: string; subject: string };
  authorAddress: string;
  reason: string;
  requestId: string;
}

export interface StoredManifest {
  manifest: Manifest;
  secrets: Record<string, SealedSecret>;
  /** Of the last event on its stream. */
  version: bigint;
  updatedAtMs: number;
  author: string;
}

/** An aggregate as the fold needs it; each stream's state only ever meets its own aggregate's `evolve`. */
interface Folding {
  name: string;
  initialState: unknown;
  evolve(state: unknown, event: DomainEvent): unknown;
}

function folding<State, Request, Event extends DomainEvent>(aggregate: Aggregate<State, Request, Event>): Folding {
  return {
    name: aggregate.name,
    initialState: aggregate.initialState,
    evolve: (state, event) => aggregate.evolve(state as State, event),
  };
}

const aggregates = new Map<string, Folding>(
  [
    ...Object.values(manifestAggregates).map(aggregate => folding(aggregate)),
    folding(agentAggregate),
    folding(approvalAggregate),
    folding(ticketAggregate),
    folding(accountSecretAggregate),
    folding(sshKeyAggregate),
    folding(checkpointAggregate),
    folding(timestampAggregate),
    folding(changeAggregate),
    folding(retentionAggregate),
    folding(contentKeyAggregate),
    folding(administrationAggregate),
    folding(userAggregate),
    folding(groupAggregate),
    folding(installationKeyAggregate),
    folding(signingKeyAggregate),
    folding(editionAggregate),
  ].map(aggregate => [aggregate.name, aggregate]),
);
const kindOf = new Map<string, Kind>(Object.entries(manifestKinds).map(([kind, name]) => [name, kind as Kind]));

/** Approvals that are over and still known: the newest, and characters of what they asked, in all. The log has the others. */
const endedApprovalsMax = 10_000;
const endedCharactersMax = 32 * 1024 * 1024;

/** The same of changes of policy. */
const endedChangesMax = 500;
const endedChangeCharactersMax = 16 * 1024 * 1024;

type KnownChange = Exclude<ChangeState, { status: 'unknown' }>;

interface StreamState {
  version: bigint;
  state: unknown;
}

/** All that a projection knows, as plain data. What follows from the rest is not in it. */
export interface ProjectionState {
  streams: Map<string, StreamState>;
  kindVersions: Map<string, bigint>;
  manifests: Map<Kind, Map<string, StoredManifest>>;
  authors: Map<string, readonly Author[]>;
  agents: Map<string, AgentState>;
  users: Map<string, UserState>;
  groups: Map<string, GroupState>;
  pendingApprovals: Map<string, ApprovalState>;
  endedApprovals: Map<string, number>;
  endedCharacters: number;
  changes: Map<string, KnownChange>;
  endedChanges: Map<string, number>;
  endedChangeCharacters: number;
  accesses: Map<string, AccessGrant>;
  revokedTickets: Map<string, number>;
  issuedTickets: Map<string, IssuedTicket & { issuedAtMs: number }>;
  accountSecretUses: Map<string, SecretUse>;
  sshKeys: Map<string, SshKey>;
  sshKeyHolders: Map<string, SeenHolder>;
}

/** The tickets that were issued for a service account's secret. */
export interface SecretUse {
  /** The last. */
  atMs: number;
  from: string;
  tickets: number;
}

/** Of those that were revoked, for each that comes: more than one, so that those that have ended go faster than others come. */
const REVOKED_LOOKED_AT = 8;

export class Projection {
  readonly #editions: Editions;
  readonly #streams: ProjectionState['streams'];
  readonly #kindVersions: ProjectionState['kindVersions'];
  readonly #manifests: ProjectionState['manifests'];
  /** Who has changed each manifest, kept also when it is deleted. */
  readonly #authors: ProjectionState['authors'];
  readonly #agents: ProjectionState['agents'];
  readonly #users: ProjectionState['users'];
  readonly #groups: ProjectionState['groups'];
  readonly #directory: Directory;
  readonly #keptOut = new KeptOut();
  readonly #pendingApprovals: ProjectionState['pendingApprovals'];
  /** Id → characters of what was asked; the oldest end first. */
  readonly #endedApprovals: ProjectionState['endedApprovals'];
  #endedCharacters: number;
  readonly #changes: ProjectionState['changes'];
  /** Id → characters of the proposal; the oldest end first. */
  readonly #endedChanges: ProjectionState['endedChanges'];
  #endedChangeCharacters: number;
  readonly #accesses: ProjectionState['accesses'];
  readonly #revokedTickets: ProjectionState['revokedTickets'];
  /** That have not ended by themselves; in order of issue. Tickets last an hour at most, which bounds them. */
  readonly #issuedTickets: ProjectionState['issuedTickets'];
  /** Of secrets that are known. */
  readonly #accountSecretUses: ProjectionState['accountSecretUses'];
  readonly #sshKeys: ProjectionState['sshKeys'];
  readonly #sshKeyHolders: ProjectionState['sshKeyHolders'];
  /** Public keys that people and service accounts sign in with over SSH. */
  readonly sshKeys: SshKeyRing;

  /**
   * @param from what `save` gave, which is this projection's from now on; absent: nothing was folded yet.
   * @param known what this program understands.
   */
  constructor(from?: ProjectionState, known: Editions = editions) {
    this.#editions = known;
    this.#streams = from?.streams ?? new Map();
    this.#kindVersions = from?.kindVersions ?? new Map();
    this.#manifests = from?.manifests ?? new Map();
    this.#authors = from?.authors ?? new Map();
    this.#agents = from?.agents ?? new Map();
    this.#users = from?.users ?? new Map();
    this.#groups = from?.groups ?? new Map();
    this.#directory = new Directory(this.#groups, this.#users);
    this.#pendingApprovals = from?.pendingApprovals ?? new Map();
    this.#endedApprovals = from?.endedApprovals ?? new Map();
    this.#endedCharacters = from?.endedCharacters ?? 0;
    this.#changes = from?.changes ?? new Map();
    this.#endedChanges = from?.endedChanges ?? new Map();
    this.#endedChangeCharacters = from?.endedChangeCharacters ?? 0;
    this.#accesses = from?.accesses ?? new Map();
    this.#revokedTickets = from?.revokedTickets ?? new Map();
    this.#issuedTickets = from?.issuedTickets ?? new Map();
    this.#accountSecretUses = from?.accountSecretUses ?? new Map();
    this.#sshKeys = from?.sshKeys ?? new Map();
    this.#sshKeyHolders = from?.sshKeyHolders ?? new Map();
    this.sshKeys = new SshKeyRing(this.#sshKeys, this.#sshKeyHolders);
    for (const user of this.#users.values()) this.#keptOut.changed({ status: 'absent' }, user);
  }

  /** The state itself, not a copy: to be written out before the next event is folded. */
  save(): ProjectionState {
    return {
      streams: this.#streams,
      kindVersions: this.#kindVersions,
      manifests: this.#manifests,
      authors: this.#authors,
      agents: this.#agents,
      users: this.#users,
      groups: this.#groups,
      pendingApprovals: this.#pendingApprovals,
      endedApprovals: this.#endedApprovals,
      endedCharacters: this.#endedCharacters,
      changes: this.#changes,
      endedChanges: this.#endedChanges,
      endedChangeCharacters: this.#endedChangeCharacters,
      accesses: this.#accesses,
      revokedTickets: this.#revokedTickets,
      issuedTickets: this.#issuedTickets,
      accountSecretUses: this.#accountSecretUses,
      sshKeys: this.#sshKeys,
      sshKeyHolders: this.#sshKeyHolders,
    };
  }

  /**
   * Folds the next event of the log.
   * @returns whether it counts.
   * @throws {GatewayError} EVENT_UNKNOWN, EVENT_IMPOSSIBLE: a newer program wrote it; going on would fork the history.
   */
  fold(event: RecordedEvent): boolean {
    const current = this.stream(event.stream);
    if (event.expectedVersion !== current.version) return false;
    if (!kindsFit(event, kind => this.kindVersion(kind))) return false;
    const { aggregate, id } = aggregateOf(event.stream);
    if ((this.#editions.of(event.type) ?? Number.POSITIVE_INFINITY) > this.#editions.known) throw eventUnknown(event);
    const state: unknown = aggregate.evolve(current.state, upcast(aggregate.name, event));
    // Whatever comes behind it may be in a way that is not known here.
    if (aggregate.name === editionAggregate.name && (state as EditionState).edition > this.#editions.known) throw eventUnknown(event);
    const before = current.state;
    this.#streams.set(event.stream, { version: current.version + 1n, state });
    this.#kindVersions.set(aggregate.name, this.kindVersion(aggregate.name) + 1n);
    this.#index(aggregate.name, id, before, state, event);
    return true;
  }

  stream(name: string): Readonly<StreamState> {
    return this.#streams.get(name) ?? { version: 0n, state: aggregateOf(name).aggregate.initialState };
  }

  /** How many events were accepted on all streams of a kind, e.g. `guard`. */
  kindVersion(kind: string): bigint {
    return this.#kindVersions.get(kind) ?? 0n;
  }

  /** Which events may be in the log by now (editions.ts). */
  edition(): number {
    return (this.stream(`${editionAggregate.name}/${editionStreamId}`).state as EditionState).edition;
  }

  /** Whether nothing has happened yet but that keys were made. */
  isNew(): boolean {
    return [...this.#kindVersions.keys()].every(kind => kind === installationKeyAggregate.name);
  }

  manifests(kind: Kind): StoredManifest[] {
    return [...(this.#manifests.get(kind)?.values() ?? [])].sort((a, b) => (a.manifest.name < b.manifest.name ? -1 : 1));
  }

  manifest(kind: Kind, name: string): StoredManifest | undefined {
    return this.#manifests.get(kind)?.get(name);
  }

  /** Whether an identity provider in force, of this name where one is given, is the issuer of people. */
  isIssuer(issuer: string, provider?: string): boolean {
    return this.manifests('IdentityProvider').some(
      ({ manifest: { name, spec } }) => issuerOf(spec as IdentityProviderSpec) === issuer && (provider === undefined || provider === name),
    );
  }

  /** Everyone who has had a hand in any manifest of a kind, also one that is gone. */
  authorsOfKind(kind: Kind, nowMs: number): Author[] {
    return [...this.#authors].flatMap(([key, authors]) => (key.startsWith(`${kind}/`) ? authorsInForce(authors, nowMs) : []));
  }

  /** Everyone who has had a hand in a manifest as it is, or was until lately (authors.ts). */
  authorsOf(kind: Kind, name: string, nowMs: number): Author[] {
    return authorsInForce(this.#authors.get(`${kind}/${name}`) ?? [], nowMs);
  }

  agent(id: string): AgentState {
    return this.#agents.get(id) ?? { status: 'unknown' };
  }

  agents(): [id: string, state: AgentState][] {
    return [...this.#agents];
  }

  approval(id: string): ApprovalState {
    return this.stream(`approval/${id}`).state as ApprovalState;
  }

  pendingApprovals(): [id: string, state: ApprovalState][] {
    return [...this.#pendingApprovals];
  }

  /** Approvals that were answered, withdrawn or not answered in time: the newest that are known, newest first. */
  answeredApprovals(): [id: string, state: ApprovalState][] {
    // Access that goes on is answered and not ended. Within one map the order is that of the log.
    const ids = new Set([...this.#accesses.keys(), ...[...this.#endedApprovals.keys()].reverse()]);
    return [...ids].map(id => [id, this.approval(id)]);
  }

  /** Roles that people were given for a time which is not over at `nowMs`, in order of the approvals' ids. */
  accessGrants(nowMs: number): AccessGrant[] {
    return [...this.#accesses.values()]
      .filter(({ expiresAtMs }) => expiresAtMs > nowMs)
      .sort((a, b) => (a.approvalId < b.approvalId ? -1 : 1));
  }

  /** Tickets that were revoked and have not ended by themselves yet. */
  revokedTickets(nowMs: number): string[] {
    return [...this.#revokedTickets].filter(([, expiresAtMs]) => expiresAtMs > nowMs).map(([jti]) => jti);
  }

  /** Tickets that have not ended by themselves, in order of issue. */
  issuedTickets(nowMs: number): (IssuedTicket & { issuedAtMs: number })[] {
    return [...this.#issuedTickets.values()].filter(({ expiresAtMs }) => expiresAtMs > nowMs);
  }

  /** Secrets of all service accounts, also those that have ended by themselves a while ago. */
  accountSecrets(): { account: string; secret: AccountSecret }[] {
    return this.manifests('ServiceAccount').flatMap(({ manifest: { name: account } }) =>
      this.#secretsOf(account).map(secret => ({ account, secret })),
    );
  }

  accountSecret(id: string): { account: string; secret: AccountSecret } | undefined {
    for (const account of this.#manifests.get('ServiceAccount')?.keys() ?? []) {
      const secret = this.#secretsOf(account).find(each => each.id === id);
      if (secret !== undefined) return { account, secret };
    }
    return undefined;
  }

  /** null: no ticket was issued for it. */
  accountSecretUse(id: string): SecretUse | null {
    return this.#accountSecretUses.get(id) ?? null;
  }

  #secretsOf(account: string): AccountSecretsState['secrets'] {
    return (this.stream(`${accountSecretAggregate.name}/${account}`).state as AccountSecretsState).secrets;
  }

  user(id: string): UserState {
    return this.#users.get(id) ?? { status: 'absent' };
  }

  users(): [id: string, state: UserState][] {
    return [...this.#users];
  }

  group(id: string): GroupState {
    return this.#groups.get(id) ?? { status: 'absent' };
  }

  /** Of the directory, in the order in which it has told of them. */
  groups(): [id: string, state: GroupState][] {
    return [...this.#groups];
  }

  /** Groups that the directory decides, as leases carry them. */
  directoryGroups(): readonly DirectoryGroup[] {
    return this.#directory.list();
  }

  /** Somebody whose token was verified, in the groups in which the directory has them. */
  asInDirectory(principal: Principal): Principal {
    return inDirectory(principal, this.#directory.groups());
  }

  /** Names, in lower case, of people whom a directory has taken out (user.ts). */
  blockedPeople(): readonly string[] {
    return this.#keptOut.names();
  }

  isBlocked(name: string): boolean {
    return this.#keptOut.has(name);
  }

  /** Whether a directory has somebody of this name who is active. */
  isActivePerson(name: string): boolean {
    return this.#keptOut.hasActive(name);
  }

  /** The newest checkpoint of every ledger of evidence. */
  checkpoints(): CheckpointState {
    return this.stream(`${checkpointAggregate.name}/log`).state as CheckpointState;
  }

  /** Legal holds, and what was deleted because its time was over. */
  retention(): RetentionState {
    return this.stream(`${retentionAggregate.name}/log`).state as RetentionState;
  }

  /** To what agents seal the keys of contents. */
  contentKeys(): ContentKeyState {
    return this.stream(`${contentKeyAggregate.name}/log`).state as ContentKeyState;
  }

  /** Heads of this log that a time-stamping authority has signed. */
  timestamps(): TimestampState {
    return this.stream(`${timestampAggregate.name}/log`).state as TimestampState;
  }

  change(id: string): ChangeState {
    return this.stream(`${changeAggregate.name}/${id}`).state as ChangeState;
  }

  /** Changes of policy for review, the oldest first: those that wait, and the newest of those that are over. */
  changes(): [id: string, state: KnownChange][] {
    return [...this.#changes];
  }

  /** That wait for a review, or were approved and are not applied yet. */
  openChanges(): [id: string, state: KnownChange][] {
    return [...this.#changes].filter(([, { status }]) => isOpenChange(status));
  }

  /** Everything that was folded, for comparison. */
  dump(): unknown {
    return {
      streams: [...this.#streams].sort(([a], [b]) => (a < b ? -1 : 1)),
      kindVersions: [...this.#kindVersions].sort(([a], [b]) => (a < b ? -1 : 1)),
      revokedTickets: [...this.#revokedTickets],
    };
  }

  #index(aggregate: string, id: string, before: unknown, state: unknown, event: RecordedEvent): void {
    const kind = kindOf.get(aggregate);
    if (kind !== undefined) this.#indexManifest(kind, id, state as ManifestState, event);
    else if (aggregate === agentAggregate.name) this.#agents.set(id, state as AgentState);
    else if (aggregate === changeAggregate.name) this.#indexChange(id, state as ChangeState);
    else if (aggregate === userAggregate.name) {
      const user = state as UserState;
      this.#keptOut.changed(this.user(id), user);
      this.#users.set(id, user);
      this.#directory.userChanged(id);
      if (user.status === 'deleted' || (user.status === 'present' && !user.user.active)) {
        const names = new Set(user.names);
        // For good: who comes back registers anew.
        this.#endSshKeys(
          event,
          key => key.holder.kind === 'person' && this.sshKeys.namesOf(key).some(name => names.has(name) && this.isBlocked(name)),
        );
      }
    } else if (aggregate === groupAggregate.name) {
      this.#groups.set(id, state as GroupState);
      this.#directory.groupChanged(id);
    } else if (aggregate === approvalAggregate.name) {
      const approval = state as ApprovalState;
      if (approval.status === 'pending') this.#pendingApprovals.set(id, approval);
      else {
        this.#pendingApprovals.delete(id);
        this.#approvalEnded(id, approval);
      }
      const given = accessGrantOf(id, approval);
      if (given === null) this.#accesses.delete(id);
      else this.#accesses.set(id, given);
    } else if (event.type === 'TicketIssued') {
      const issuedAtMs = Number(event.atUnixUs / 1000n);
      for (const [ticketId, { expiresAtMs }] of this.#issuedTickets) {
        if (expiresAtMs > issuedAtMs) break; // Those behind it are younger; what of them has ended goes with a later one.
        this.#issuedTickets.delete(ticketId);
      }
      const ticket = event.payload as IssuedTicket;
      this.#issuedTickets.set(ticket.ticketId, { ...ticket, issuedAtMs });
      const { principal, groups } = ticket;
      if (groups !== undefined) this.sshKeys.signedIn(principal, { name: principal.name, groups, atMs: issuedAtMs });
      for (const secret of ticket.secrets ?? []) {
        if (this.accountSecret(secret) === undefined) continue;
        const tickets = (this.accountSecretUse(secret)?.tickets ?? 0) + 1;
        this.#accountSecretUses.set(secret, { atMs: issuedAtMs, from: event.authorAddress, tickets });
      }
    } else if (event.type === 'SignedIn') {
      const { groups } = event.payload as { groups: string[] };
      const person = { name: event.author, groups, atMs: Number(event.atUnixUs / 1000n) };
      if (event.authorIdentity !== undefined) this.sshKeys.signedIn(event.authorIdentity, person);
    } else if (aggregate === sshKeyAggregate.name) {
      this.#sshKeyChanged(before as SshKeyState, state as SshKeyState, event);
    } else if (aggregate === accountSecretAggregate.name) {
      this.#secretsChanged(before as AccountSecretsState, state as AccountSecretsState, Number(event.atUnixUs / 1000n));
      if (event.type === 'AccountSecretCreated') {
        // Who has a secret of an account can act as it, as who says whom it trusts can.
        const key = `ServiceAccount/${id}`;
        this.#authors.set(key, authorsAfter(this.#authors.get(key) ?? [], event, 'changed'));
      }
    } else if (aggregate === ticketAggregate.name) {
      const ticket = state as TicketState;
      if (ticket.status === 'revoked') this.#revokedTickets.set(id, ticket.expiresAtMs);
      const atMs = Number(event.atUnixUs / 1000n);
      // A few at each, in turn: to look through all would take the longer the more there are.
      for (const [jti, expiresAtMs] of [...this.#revokedTickets.entries().take(REVOKED_LOOKED_AT)]) {
        this.#revokedTickets.delete(jti);
        if (expiresAtMs > atMs) this.#revokedTickets.set(jti, expiresAtMs);
      }
    }
  }

  /** A registration that is over is revoked like a ticket, by its id: sessions that it opened end with it. */
  #sshKeyChanged(before: SshKeyState, after: SshKeyState, event: RecordedEvent): void {
    const atMs = Number(event.atUnixUs / 1000n);
    if (before.status === 'registered') {
      this.sshKeys.removed(before.key.id);
      if (before.key.expiresAtMs > atMs) this.#revokedTickets.set(before.key.id, before.key.expiresAtMs);
    }
    if (after.status !== 'registered') return;
    const { key } = after;
    this.sshKeys.registered(key, atMs);
    if (key.holder.kind === 'person') return;
    // Who gives an account a key can act as it, as who says whom it trusts can.
    const account = `ServiceAccount/${key.holder.name}`;
    this.#authors.set(account, authorsAfter(this.#authors.get(account) ?? [], event, 'changed'));
  }

  /** Ends keys for good, with those who held them. */
  #endSshKeys(event: RecordedEvent, isOver: (key: SshKey) => boolean): void {
    for (const key of this.sshKeys.all().filter(isOver)) {
      this.sshKeys.removed(key.id);
      if (key.expiresAtMs > Number(event.atUnixUs / 1000n)) this.#revokedTickets.set(key.id, key.expiresAtMs);
      const stream = `${sshKeyAggregate.name}/${sshKeyStreamId(key.fingerprint)}`;
      this.#streams.set(stream, { version: this.stream(stream).version, state: sshKeyAggregate.initialState });
    }
  }

  /** Tickets of secrets that are gone are revoked with them. */
  #secretsChanged(before: AccountSecretsState, after: AccountSecretsState, atMs: number): void {
    const left = new Set(after.secrets.map(({ id }) => id));
    const gone = new Set(before.secrets.map(({ id }) => id).filter(id => !left.has(id)));
    for (const id of gone) this.#accountSecretUses.delete(id);
    this.#revokeIssued(atMs, ({ secrets = [] }) => secrets.some(id => gone.has(id)));
  }

  #revokeIssued(atMs: number, isRevoked: (ticket: IssuedTicket) => boolean): void {
    for (const ticket of this.#issuedTickets.values())
      if (ticket.expiresAtMs > atMs && isRevoked(ticket)) this.#revokedTickets.set(ticket.ticketId, ticket.expiresAtMs);
  }

  /** Forgets the oldest ended changes beyond the bounds, by the order of the log alone. */
  #indexChange(id: string, change: ChangeState): void {
    if (change.status === 'unknown') return;
    this.#changes.set(id, change);
    if (isOpenChange(change.status)) return;
    const characters = JSON.stringify(change.proposal).length;
    this.#endedChanges.set(id, characters);
    this.#endedChangeCharacters += characters;
    for (const [oldest, size] of this.#endedChanges) {
      if (this.#endedChanges.size <= endedChangesMax && this.#endedChangeCharacters <= endedChangeCharactersMax) break;
      this.#endedChanges.delete(oldest);
      this.#endedChangeCharacters -= size;
      this.#changes.delete(oldest);
      const stream = `${changeAggregate.name}/${oldest}`;
      this.#streams.set(stream, { version: this.stream(stream).version, state: changeAggregate.initialState });
    }
  }

  /** Forgets the oldest ended approvals beyond the bounds, by the order of the log alone: every replica forgets the same ones. */
  #approvalEnded(id: string, approval: ApprovalState): void {
    if (approval.status === 'unknown' || approval.status === 'pending') return;
    if (approval.access?.ended === null) return; // Access that was given goes on; its end is an event again.
    const before = this.#endedApprovals.get(id) ?? 0;
    const { text, parameters = [], preview } = approval.question;
    const characters = text.length + preview.length + parameters.reduce((sum, each) => sum + each.length, 0);
    this.#endedApprovals.delete(id);
    this.#endedApprovals.set(id, characters);
    this.#endedCharacters += characters - before;
    for (const [oldest, size] of this.#endedApprovals) {
      if (this.#endedApprovals.size <= endedApprovalsMax && this.#endedCharacters <= endedCharactersMax) break;
      this.#endedApprovals.delete(oldest);
      this.#endedCharacters -= size;
      const stream = `${approvalAggregate.name}/${oldest}`;
      // The version stays: it is by that that everybody tells which events count.
      this.#streams.set(stream, { version: this.stream(stream).version, state: approvalAggregate.initialState });
    }
  }

  /** An account that is made anew under the name has none of its secrets, and nobody comes with its tickets. */
  #accountDeleted(name: string, event: RecordedEvent): void {
    const atMs = Number(event.atUnixUs / 1000n);
    this.#endSshKeys(event, ({ holder }) => holder.kind === 'workload' && holder.name === name);
    const stream = `${accountSecretAggregate.name}/${name}`;
    const { version, state } = this.stream(stream);
    this.#secretsChanged(state as AccountSecretsState, accountSecretAggregate.initialState, atMs);
    if (version > 0n) this.#streams.set(stream, { version, state: accountSecretAggregate.initialState });
    this.#revokeIssued(
      atMs,
      ({ principal, delegation }) => (principal.kind === 'workload' && principal.name === name) || delegation.includes(name),
    );
  }

  #indexManifest(kind: Kind, name: string, state: ManifestState, event: RecordedEvent): void {
    const byName = this.#manifests.get(kind) ?? new Map<string, StoredManifest>();
    const former = kind === 'IdentityProvider' ? byName.get(name)?.manifest : undefined;
    this.#manifests.set(kind, byName);
    const key = `${kind}/${name}`;
    const change = !byName.has(name) ? 'created' : state.status === 'absent' ? 'deleted' : 'changed';
    const authors = authorsAfter(this.#authors.get(key) ?? [], event, change);
    // Who approves a change has had as much of a hand in it as who proposed it.
    const { approvedBy } = event.payload as { approvedBy?: { name: string; issuer: string; subject: string } };
    const approval = approvedBy && { author: approvedBy.name, authorIdentity: approvedBy, atUnixUs: event.atUnixUs };
    this.#authors.set(key, approval === undefined ? authors : authorsAfter(authors, approval, 'changed'));
    if (state.status === 'absent') {
      byName.delete(name);
      if (former !== undefined) this.#providerChanged(former, event);
      if (kind === 'ServiceAccount') this.#accountDeleted(name, event);
      return;
    }
    byName.set(name, {
      manifest: state.manifest,
      secrets: state.secrets,
      version: event.expectedVersion + 1n,
      updatedAtMs: Number(event.atUnixUs / 1000n),
      author: event.author,
    });
    if (former !== undefined) this.#providerChanged(former, event);
  }

  /** Nobody comes any more with a ticket that was got by an issuer who is no longer believed. */
  #providerChanged(former: Manifest, event: RecordedEvent): void {
    const issuer = issuerOf(former.spec as IdentityProviderSpec);
    if (issuer === undefined || this.isIssuer(issuer)) return;
    const isHis = ({ principal }: IssuedTicket) => principal.kind === 'person' && principal.issuer === issuer;
    this.#revokeIssued(Number(event.atUnixUs / 1000n), isHis);
    this.#endSshKeys(event, ({ holder }) => holder.kind === 'person' && holder.issuer === issuer);
  }
}

function issuerOf({ oidc, saml }: IdentityProviderSpec): string | undefined {
  return oidc?.issuer ?? saml?.issuer;
}

function isOpenChange(status: KnownChange['status']): boolean {
  return status === 'proposed' || status === 'approved';
}

function eventUnknown({ type, stream, payload }: RecordedEvent): GatewayError {
  const what = type === 'EditionRaised' ? `edition ${String((payload as { edition?: unknown }).edition)}` : `${type} on ${stream}`;
  return new GatewayError('EVENT_UNKNOWN', 'internal', `The control log has ${what}, which this version does not know. Upgrade it.`);
}

/** @throws {GatewayError} EVENT_UNKNOWN for a stream of no known aggregate. */
function aggregateOf(stream: string): { aggregate: Folding; id: string } {
  const slash = stream.indexOf('/');
  const aggregate = aggregates.get(stream.slice(0, slash));
  const id = stream.slice(slash + 1);
  if (slash < 1 || aggregate === undefined || id === '') {
    throw new GatewayError(
      'EVENT_UNKNOWN',
      'internal',
      `The control log has a stream ${JSON.stringify(stream)}, which this version does not know. Upgrade it.`,
    );
  }
  return { aggregate, id };
}
