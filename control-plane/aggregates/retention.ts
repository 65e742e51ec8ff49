/**
 * The aggregate of what is kept and what was deleted of the evidence: one stream, `retention/log`. Legal holds keep sessions from being
 * deleted and their contents from being shredded; either is logged before it is done, so that whoever verifies evidence later can tell
 * what expired or was shredded by right from what was taken. It takes two to shred: one who asks, another who confirms.
 *
 * Whether something may be deleted at a moment is evidence/retention.ts's to find out; this only keeps what was said.
 */
import { type Author, isSame } from './authors.ts';
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

/** Somebody asks that the contents of a person's sessions be made unreadable. */
export interface ShredRequest {
  id: string;
  person: string;
  reason: string;
  askedBy: Author;
  askedAtMs: number;
}

export interface Shred {
  /** Of the request. */
  id: string;
  person: string;
  reason: string;
  askedBy: string;
  confirmedBy: string;
  /** Sessions that began until this moment, milliseconds since 1970. */
  throughMs: number;
  /** How many the session store knew of. */
  sessions: number;
}

export interface RetentionState {
  holds: Readonly<Record<string, LegalHold>>;
  /** resource → the last deletion. */
  expired: Readonly<Record<string, Expiry>>;
  /** That wait for somebody to confirm them. */
  shredRequests: Readonly<Record<string, ShredRequest>>;
  shreds: readonly Shred[];
}

export type RetentionRequest =
  | { type: 'place'; hold: LegalHold }
  | { type: 'release'; id: string }
  | { type: 'expire'; expiry: Expiry }
  | { type: 'askToShred'; request: ShredRequest }
  /** `checkedHolds`: ids of the holds of which the caller has found that they are not about any of the sessions. */
  | { type: 'shred'; id: string; confirmedBy: Author; nowMs: number; sessions: number; checkedHolds: readonly string[] };

export type RetentionEvent =
  | { type: 'LegalHoldPlaced'; payload: LegalHold }
  | { type: 'LegalHoldReleased'; payload: { id: string } }
  | { type: 'EvidenceExpired'; payload: LoggedExpiry }
  | { type: 'ShredRequested'; payload: ShredRequest }
  | { type: 'ContentsShredded'; payload: Shred };

const HOLDS_MAX = 10_000;
const SHRED_REQUESTS_MAX = 1000;
/** A request that nobody has confirmed by then says nothing any more. */
export const SHRED_REQUEST_MS: number = 7 * 86_400_000;

export const retentionAggregate: Aggregate<RetentionState, RetentionRequest, RetentionEvent> = {
  name: 'retention',
  initialState: { holds: {}, expired: {}, shredRequests: {}, shreds: [] },

  decide(request, { holds, shredRequests, shreds }) {
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
      case 'askToShred': {
        const { id } = request.request;
        if (Object.hasOwn(shredRequests, id)) return grant();
        if (Object.keys(shredRequests).length >= SHRED_REQUESTS_MAX)
          return reject('SHREDS_TOO_MANY', 'conflict', `${SHRED_REQUESTS_MAX} requests wait to be confirmed already.`);
        return grant({ type: 'ShredRequested', payload: request.request });
      }
      case 'shred': {
        const { id, confirmedBy, nowMs, sessions, checkedHolds } = request;
        if (shreds.some(shred => shred.id === id)) return grant();
        const asked = Object.hasOwn(shredRequests, id) ? shredRequests[id] : undefined;
        if (asked === undefined || nowMs - asked.askedAtMs > SHRED_REQUEST_MS)
          return reject('SHRED_UNKNOWN', 'notFound', 'There is no such request, or it is older than a week: ask again.');
        const { person, reason, askedBy } = asked;
        if (isSame(askedBy, confirmedBy))
          return reject('SHRED_NEEDS_ANOTHER', 'denied', 'Who asked cannot confirm: contents are shredded by two.');
        if (Object.keys(holds).some(hold => !checkedHolds.includes(hold)))
          return reject('HOLDS_CHANGED', 'conflict', 'A legal hold was placed meanwhile: look at it, and try again.');
        const names = { askedBy: askedBy.name, confirmedBy: confirmedBy.name };
        return grant({ type: 'ContentsShredded', payload: { id, person, reason, ...names, throughMs: nowMs, sessions } });
      }
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
      case 'ShredRequested': {
        const { id, askedAtMs } = known.payload;
        const waiting = Object.entries(state.shredRequests).filter(([, each]) => askedAtMs - each.askedAtMs <= SHRED_REQUEST_MS);
        return { ...state, shredRequests: { ...Object.fromEntries(waiting), [id]: known.payload } };
      }
      case 'ContentsShredded': {
        const { [known.payload.id]: _confirmed, ...shredRequests } = state.shredRequests;
        return { ...state, shredRequests, shreds: [...state.shreds, known.payload] };
      }
      case 'EvidenceExpired':
        return { ...state, expired: { ...state.expired, [known.payload.resource]: known.payload } };
      default:
        return impossible('retention', 'log', event);
    }
  },
};
