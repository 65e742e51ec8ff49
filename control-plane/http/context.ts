/** What the routes work with. */
import type { Logger } from 'pino';
import type { AdministrationLog } from '../aggregates/administration-log.ts';
import type { ControlLog } from '../aggregates/control-log.ts';
import type { ChangeDesk } from '../changes/change-desk.ts';
import type { Contents } from '../evidence/contents.ts';
import type { EvidenceExport } from '../evidence/evidence-export.ts';
import type { Retention } from '../evidence/retention.ts';
import type { Fleet } from '../grpc/fleet.ts';
import type { Relay } from '../grpc/relay.ts';
import type { ManifestHistory } from '../history/manifest-history.ts';
import type { LiveFeed } from '../live/live-feed.ts';
import type { WatchPresence } from '../live/watch-presence.ts';
import type { LogReader } from '../log/event-log.ts';
import type { ManifestStore } from '../manifests/apply.ts';
import type { Authority } from '../pki/authority.ts';
import type { ControlPlaneKeys } from '../pki/keys.ts';
import type { SigningKeys } from '../pki/signing-keys.ts';
import type { AdmissionDesk } from './admission.ts';
import type { AccessRoles } from './authorization.ts';
import type { SessionHistory } from './session-history.ts';
import type { TicketDesk } from './ticket-desk.ts';

export interface ApiContext {
  control: ControlLog;
  administration: AdministrationLog;
  records: LogReader;
  manifests: ManifestStore;
  changes: ChangeDesk;
  /** Changes of manifests need a second person; only the administrator's token makes them alone. */
  twoPersonApply: boolean;
  manifestHistory: ManifestHistory;
  fleet: Fleet;
  live: LiveFeed;
  presence: WatchPresence;
  relay: Relay;
  authority: Authority;
  keys: ControlPlaneKeys;
  signingKeys: SigningKeys;
  admission: AdmissionDesk;
  tickets: TicketDesk;
  accessRoles: AccessRoles;
  history: SessionHistory;
  evidence: EvidenceExport;
  retention: Retention;
  contents: Contents;
  /** PEM of the time-stamping authorities; null: none is configured. */
  timestampsTrusted: string | null;
  logger: Logger;
  clock: () => number;
  startedAtMs: number;
  version: string;
  isReady: () => boolean;
}
