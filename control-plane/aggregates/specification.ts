/** Given-when-then for aggregates, for tests: given past events, when a request, then these events or that rejection. */
import assert from 'node:assert/strict';
import type { Aggregate, DomainEvent } from './decider.ts';

export function given<State, Request, Event extends DomainEvent>(aggregate: Aggregate<State, Request, Event>, ...events: Event[]) {
  const state = events.reduce((before, event) => aggregate.evolve(before, event), aggregate.initialState);
  return {
    state,
    when(request: Request) {
      const decision = aggregate.decide(request, state);
      return {
        // biome-ignore lint/suspicious/noThenProperty: the field's own words; the object is never awaited.
        then(...expected: Event[]) {
          assert.deepEqual(decision, { accepted: true, events: expected });
          // What was granted once is not granted twice: the request repeated on the new state yields nothing.
          const after = expected.reduce((before, event) => aggregate.evolve(before, event), state);
          return given(aggregate, ...events, ...expected).sameAs(after);
        },
        thenNothing() {
          assert.deepEqual(decision, { accepted: true, events: [] });
        },
        thenRejected(code: string) {
          assert.ok(!decision.accepted, 'it was granted');
          assert.equal(decision.rejection.code, code);
        },
      };
    },
    sameAs(expected: State) {
      assert.deepEqual(state, expected);
      return given(aggregate, ...events);
    },
  };
}
