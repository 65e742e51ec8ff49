/**
 * The form of an aggregate: three pure functions. Time, ids and whatever else comes from outside arrive in the request.
 */
import type { ErrorKind } from '@sallyport/shared/errors.ts';

/** An event as an aggregate knows it; the log adds stream, version, author and time. Types are storage: never renamed, only upcast. */
export interface DomainEvent {
  type: string;
  /** Plain JSON. */
  payload: unknown;
}

/** Why a request is not granted: an expected answer, not a fault. */
export interface Rejection {
  code: string;
  kind: ErrorKind;
  message: string;
}

export type Decision<Event extends DomainEvent> = { accepted: true; events: Event[] } | { accepted: false; rejection: Rejection };

/**
 * One kind of stream. `decide` yields at most one event: two events of one request could be torn apart by a racing writer, since each
 * is accepted by itself. A repeat of a request that was granted yields none.
 */
export interface Aggregate<State, Request, Event extends DomainEvent> {
  /** The first part of the stream's name, e.g. `resource` in `resource/crm`. */
  readonly name: string;
  readonly initialState: State;
  decide(request: Request, state: State): Decision<Event>;
  /** @throws {GatewayError} EVENT_IMPOSSIBLE when the event cannot follow the state: the log is not of this program. */
  evolve(state: State, event: DomainEvent): State;
}

export function grant<Event extends DomainEvent>(...events: Event[]): Decision<Event> {
  return { accepted: true, events };
}

export function reject(code: string, kind: ErrorKind, message: string): { accepted: false; rejection: Rejection } {
  return { accepted: false, rejection: { code, kind, message } };
}
