/**
 * The aggregate of one revoked ticket: stream `ticket/JTI`. Tickets that nobody revoked leave no trace here; they are known by their
 * signature alone.
 */
import { type Aggregate, type DomainEvent, grant } from './decider.ts';
import { impossible } from './impossible.ts';

export type TicketState = { status: 'good' } | { status: 'revoked'; expiresAtMs: number };

export interface TicketRequest {
  type: 'revoke';
  /** When the ticket ends by itself; after that nobody needs to know. */
  expiresAtMs: number;
}

export type TicketEvent = { type: 'TicketRevoked'; payload: { expiresAtMs: number } };

export const ticketAggregate: Aggregate<TicketState, TicketRequest, TicketEvent> = {
  name: 'ticket',
  initialState: { status: 'good' },
  decide(request, state) {
    return state.status === 'revoked' ? grant() : grant({ type: 'TicketRevoked', payload: { expiresAtMs: request.expiresAtMs } });
  },
  evolve(state, event: DomainEvent): TicketState {
    const known = event as TicketEvent;
    if (known.type === 'TicketRevoked' && state.status === 'good') return { status: 'revoked', expiresAtMs: known.payload.expiresAtMs };
    return impossible('ticket', state.status, event);
  },
};
