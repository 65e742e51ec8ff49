/**
 * The aggregate of what is kept and what was deleted of the evidence: one stream, `retention/log`. Legal holds keep sessions from being
 * deleted; a deletion is logged before it is done, so that whoever verifies evidence later can tell what expired from what was taken.
 *
 * Whether something may be deleted at a moment is evidence/retention.ts's to find out; this only keeps what was said.
 */
import { type Aggregate, type DomainEvent, grant, reject } from './decider.ts';
import { impossible } from './impossible.ts';

/** What a hold is about: all that is given must match; a hold about nothing is refused. */
export interface HoldSubject {
  person?: string;
  resource?: string;
  session?: string;
}

export interface LegalHold extends HoldSubject {
  id: string;
  reason: string;
  placedAtMs: number;
}

export interface Expiry {
  resource: string;
  /** The audit policies that say how long. */
  policies: string[];
  /** Sessions on the resource that ended before this moment were deleted, but for those on hold. Milliseconds since 1970. */
  beforeMs: number;
  sessions: number;
}

/** A deletion as it is logged. */
export interface LoggedExpiry extends Expiry {
  /** Ids of the legal holds in force: what they are about was not deleted. */
  holds: string[];
}

export interface RetentionState {
  holds: Readonly<Record<string, LegalHold>>;
  /** resource → the last deletion. */
  expired: Readonly<Record<string, Expiry>>;
}

export type RetentionRequest = { type: 'place'; hold: LegalHold } | { type: 'release'; id: string } | { type: 'expire'; expiry: Expiry };

export type RetentionEvent =
  | { type: 'LegalHoldPlaced'; payload: LegalHold }
  | { type: 'LegalHoldReleased'; payload: { id: string } }
  | { type: 'EvidenceExpired'; payload: LoggedExpiry };

const HOLDS_MAX = 10_000;

export const retentionAggregate: Aggregate<RetentionState, RetentionRequest, RetentionEvent> = {
  name: 'retention',
  initialState: { holds: {}, expired: {} },

  decide(request, { holds }) {
    switch (request.type) {
      case 'place': {
        const { hold } = request;
        if (hold.person === undefined && hold.resource === undefined && hold.session === undefined)
          return reject('HOLD_ABOUT_NOTHING', 'invalid', 'A legal hold needs a person, a resource or a session.');
        if (Object.hasOwn(holds, hold.id)) return grant();
        if (Object.keys(holds).length >= HOLDS_MAX)
          return reject('HOLDS_TOO_MANY', 'conflict', `There are ${HOLDS_MAX} legal holds. Release those that are over.`);
        return grant({ type: 'LegalHoldPlaced', payload: hold });
      }
      case 'release':
        return Object.hasOwn(holds, request.id)
          ? grant({ type: 'LegalHoldReleased', payload: { id: request.id } })
          : reject('HOLD_UNKNOWN', 'notFound', 'There is no such legal hold.');
      case 'expire':
        return grant({ type: 'EvidenceExpired', payload: { ...request.expiry, holds: Object.keys(holds) } });
    }
  },

  evolve(state, event: DomainEvent): RetentionState {
    const known = event as RetentionEvent;
    switch (known.type) {
      case 'LegalHoldPlaced':
        return { ...state, holds: { ...state.holds, [known.payload.id]: known.payload } };
      case 'LegalHoldReleased': {
        const { [known.payload.id]: _released, ...holds } = state.holds;
        return { ...state, holds };
      }
      case 'EvidenceExpired':
        return { ...state, expired: { ...state.expired, [known.payload.resource]: known.payload } };
      default:
        return impossible('retention', 'log', event);
    }
  },
};
