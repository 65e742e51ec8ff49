/**
 * Which events each edition of the control log has: how replicas of two neighbouring versions share one log.
 *
 * A version that meets an event which it does not know stops, for guessing could widen somebody's access. So a version that brings new events,
 * or another shape of old ones, gives them the next edition, and writes none of them before the log is at that edition: until then
 * replicas of the version before go on beside it. The log is raised when the last of them is upgraded, by an operator where there are
 * replicas, by itself where there is one control plane. A version that knows less than the log's edition does not start.
 */
import type { AccountSecretEvent } from './account-secret.ts';
import type { AdministrationEvent } from './administration.ts';
import type { AgentEvent } from './agent.ts';
import type { ApprovalEvent } from './approval.ts';
import type { ChangeEvent } from './change.ts';
import type { CheckpointEvent } from './checkpoint.ts';
import type { ContentKeyEvent } from './content-key.ts';
import type { EditionEvent } from './edition.ts';
import type { GroupEvent } from './group.ts';
import type { InstallationKeyEvent } from './installation-key.ts';
import type { ManifestEvent } from './manifest.ts';
import type { RetentionEvent } from './retention.ts';
import type { SigningKeyEvent } from './signing-key.ts';
import type { SshKeyEvent } from './ssh-key.ts';
import type { TicketEvent } from './ticket-revocation.ts';
import type { TimestampEvent } from './timestamp.ts';
import type { UserEvent } from './user.ts';

/** Every event that this version writes or reads. */
export type EventType = (
  | AccountSecretEvent
  | AdministrationEvent
  | AgentEvent
  | ApprovalEvent
  | ChangeEvent
  | CheckpointEvent
  | ContentKeyEvent
  | EditionEvent
  | GroupEvent
  | InstallationKeyEvent
  | ManifestEvent
  | RetentionEvent
  | SigningKeyEvent
  | SshKeyEvent
  | TicketEvent
  | TimestampEvent
  | UserEvent
)['type'];

/** Event → the edition since which it may be in a log. The compiler finds one that is missing. */
export const editionOfEvent: Readonly<Record<EventType, number>> = {
  AccessEnded: 1,
  AccessPolicyApplied: 1,
  AccessPolicyDeleted: 1,
  AccountSecretCreated: 1,
  AccountSecretRevoked: 1,
  AdministratorTokenUsed: 1,
  AgentCopySeen: 1,
  AgentDrained: 1,
  AgentInvited: 1,
  AgentJoinGranted: 1,
  AgentJoined: 1,
  AgentLogLevelSet: 1,
  AgentRenewed: 1,
  AgentRevoked: 1,
  AgentStarted: 1,
  ApprovalDenied: 1,
  ApprovalExpired: 1,
  ApprovalGiven: 1,
  ApprovalRequested: 1,
  ApprovalWithdrawn: 1,
  AuditPolicyApplied: 1,
  AuditPolicyDeleted: 1,
  ChangeApplied: 1,
  ChangeApproved: 1,
  ChangeProposed: 1,
  ChangeRejected: 1,
  ChangeStale: 1,
  ChangeWithdrawn: 1,
  ChannelApplied: 1,
  ChannelDeleted: 1,
  CheckpointsLogged: 1,
  ContentKeyMade: 1,
  ContentKeysDestroyed: 1,
  ContentsShredded: 1,
  CredentialApplied: 1,
  CredentialDeleted: 1,
  DataPolicyApplied: 1,
  DataPolicyDeleted: 1,
  EditionRaised: 1,
  EvidenceExpired: 1,
  GroupChanged: 1,
  GroupDeprovisioned: 1,
  GroupProvisioned: 1,
  GuardApplied: 1,
  GuardDeleted: 1,
  IdentityProviderApplied: 1,
  IdentityProviderDeleted: 1,
  KeyAdopted: 1,
  LegalHoldPlaced: 1,
  LegalHoldReleased: 1,
  ResourceApplied: 1,
  ResourceDeleted: 1,
  RoleApplied: 1,
  RoleDeleted: 1,
  RootTimestamped: 1,
  ServiceAccountApplied: 1,
  ServiceAccountDeleted: 1,
  SessionKilled: 1,
  SessionWatchContinued: 1,
  SessionWatchEnded: 1,
  SessionWatched: 1,
  ShredRequested: 1,
  SignedIn: 1,
  SignedOut: 1,
  SigningKeyAnnounced: 1,
  SshKeyRegistered: 1,
  SshKeyRemoved: 1,
  TicketIssued: 1,
  TicketRevoked: 1,
  UserChanged: 1,
  UserDeprovisioned: 1,
  UserProvisioned: 1,
};

/** What a version knows; another than this one's is for tests. */
export interface Editions {
  /** The newest edition that it reads and writes. */
  readonly known: number;
  /** The edition that an event came with; undefined: no version that is known has it. */
  of(type: string): number | undefined;
}

/** What this version knows. */
export const editions: Editions = {
  known: Math.max(...Object.values(editionOfEvent)),
  of: type => (Object.hasOwn(editionOfEvent, type) ? editionOfEvent[type as EventType] : undefined),
};
