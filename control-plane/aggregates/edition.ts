/**
 * The aggregate of the control log's edition: one stream, `edition/log`. An edition says which events may be in the log (editions.ts). It
 * rises when every control plane understands the next, and never falls: what was written by then stays.
 */
import { type Aggregate, type DomainEvent, grant } from './decider.ts';
import { impossible } from './impossible.ts';

export interface EditionState {
  edition: number;
}

export interface EditionRequest {
  type: 'raise';
  edition: number;
}

export interface EditionEvent {
  type: 'EditionRaised';
  payload: { edition: number };
}

export const editionStreamId = 'log';

export const editionAggregate: Aggregate<EditionState, EditionRequest, EditionEvent> = {
  name: 'edition',
  initialState: { edition: 1 },
  decide({ edition }, state) {
    return edition <= state.edition ? grant() : grant({ type: 'EditionRaised', payload: { edition } });
  },
  evolve(state, event: DomainEvent): EditionState {
    const known = event as EditionEvent;
    if (known.type !== 'EditionRaised' || !Number.isSafeInteger(known.payload.edition) || known.payload.edition <= state.edition)
      return impossible('edition', String(state.edition), event);
    return { edition: known.payload.edition };
  },
};
