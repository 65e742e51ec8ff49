/**
 * Old events in today's shape. Events are never rewritten: when a payload's shape changes, its schema number rises and a step is added
 * here. There is one shape of each event so far.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { DomainEvent } from './decider.ts';

/** The schema that new events are written with. */
export const currentSchema = 1;

/** @throws {GatewayError} EVENT_UNKNOWN when a newer version wrote the event: guessing at it could widen somebody's access. */
export function upcast(aggregate: string, event: { type: string; schema: number; payload: unknown }): DomainEvent {
  if (event.schema !== currentSchema) {
    throw new GatewayError(
      'EVENT_UNKNOWN',
      'internal',
      `The control log has ${event.type} on a ${aggregate} with schema ${event.schema}; this version reads schema ${currentSchema}. Upgrade it.`,
    );
  }
  return { type: event.type, payload: event.payload };
}
