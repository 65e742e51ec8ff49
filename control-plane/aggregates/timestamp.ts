/**
 * The aggregate of time-stamped heads of this very log: one stream, `timestamp/log`. A head is what the tree of the log was at some
 * size, signed by us; the token is what a time-stamping authority (RFC 3161) says about when that was. Whoever asked for the token has
 * checked it; whoever verifies evidence checks it again.
 */
import { type Aggregate, type DomainEvent, grant } from './decider.ts';
import { impossible } from './impossible.ts';

export interface TimestampedRoot {
  size: number;
  /** The signed tree head. */
  note: string;
  /** Base64 of the TimeStampToken, DER. */
  token: string;
  /** The authority's address. */
  authority: string;
}

export interface TimestampState {
  roots: readonly TimestampedRoot[];
}

export interface TimestampRequest {
  type: 'add';
  root: TimestampedRoot;
}

export interface TimestampEvent {
  type: 'RootTimestamped';
  payload: TimestampedRoot;
}

export const timestampAggregate: Aggregate<TimestampState, TimestampRequest, TimestampEvent> = {
  name: 'timestamp',
  initialState: { roots: [] },
  decide({ root }, { roots }) {
    return roots.some(({ token }) => token === root.token) ? grant() : grant({ type: 'RootTimestamped', payload: root });
  },
  evolve(state, event: DomainEvent): TimestampState {
    const known = event as TimestampEvent;
    if (known.type !== 'RootTimestamped') return impossible('timestamp', 'log', event);
    return { roots: [...state.roots, known.payload] };
  },
};
