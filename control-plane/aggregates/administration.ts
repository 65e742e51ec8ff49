/**
 * Acts of administration that change no other aggregate and yet must be known for ever: sign-ins to the console, uses of the
 * administrator's token, sessions that somebody ended. Stream `administration/PROCESS`: each process of the control plane writes its
 * own, so that replicas do not race for one. A SAML assertion, which is good once, has a stream of its own: that it was used is
 * decided by the log, at whatever replica.
 *
 * Author, address, reason and time are the envelope's. Changes of manifests, agents, tickets and approvals are events of their own.
 */
import { type Aggregate, type DomainEvent, grant } from './decider.ts';
import { impossible } from './impossible.ts';

export type AdministrationEvent =
  /** Each write; of reads the first of an address and route in ten minutes. */
  | { type: 'AdministratorTokenUsed'; payload: { method: string; route: string } }
  | { type: 'SignedIn'; payload: { provider: string; consoleSession: string; groups: string[] } }
  | { type: 'SignedOut'; payload: { provider: string; consoleSession: string } }
  | { type: 'TicketIssued'; payload: IssuedTicket }
  /** A workload's token, by its id, was traded for a join token. */
  | { type: 'AgentJoinGranted'; payload: { agentId: string; account: string; tokenId: string } }
  | { type: 'AgentLogLevelSet'; payload: { agentId: string; level: string; forSeconds: number } }
  | { type: 'AgentDrained'; payload: { agentId: string; withinSeconds: number } }
  | { type: 'SessionKilled'; payload: { sessionId: string; principal: string; resource: string } }
  /** Somebody began to watch it while it ran; for how long, the session's own record says. */
  | { type: 'SessionWatched'; payload: { sessionId: string; principal: string; resource: string; watch?: WatchElsewhere } }
  /** Versions before told other replicas so that they are still there (live/watch-presence.ts does now): such logs are read. */
  | { type: 'SessionWatchContinued'; payload: { sessionId: string; watch: WatchElsewhere } }
  | { type: 'SessionWatchEnded'; payload: { sessionId: string; watch: WatchElsewhere } };

/** What the control plane to which the agent is connected tells it of somebody who watches by way of another. */
export interface WatchElsewhere {
  watchId: string;
  observer: string;
  /** From the event on. */
  forMs: number;
}

/** What is known of a ticket; the ticket itself is nowhere. */
export interface IssuedTicket {
  ticketId: string;
  resource: string;
  principal: { kind: 'person' | 'workload'; name: string; issuer: string; subject: string };
  delegation: string[];
  expiresAtMs: number;
  role?: string;
  networks?: string[];
  /** Secrets of service accounts that it was exchanged for, by their ids: it ends with each. */
  secrets?: string[];
  /** Of a person who holds registered public keys: what is known of their groups until they sign in again. */
  groups?: string[];
  /** Whether it is good with one client certificate alone. */
  boundToClient: boolean;
}

interface State {
  acts: number;
}

const names: ReadonlySet<string> = new Set<AdministrationEvent['type']>([
  'AdministratorTokenUsed',
  'SignedIn',
  'SignedOut',
  'TicketIssued',
  'AgentJoinGranted',
  'AgentLogLevelSet',
  'AgentDrained',
  'SessionKilled',
  'SessionWatched',
  'SessionWatchContinued',
  'SessionWatchEnded',
]);

export const administrationAggregate: Aggregate<State, AdministrationEvent, AdministrationEvent> = {
  name: 'administration',
  initialState: { acts: 0 },
  /** What has happened is not refused. */
  decide: act => grant(act),
  evolve(state, event: DomainEvent) {
    return names.has(event.type) ? { acts: state.acts + 1 } : impossible('administration', 'open', event);
  },
};
