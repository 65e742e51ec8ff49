/** What `evolve` throws when an event cannot follow a state. */
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { DomainEvent } from './decider.ts';

export function impossible(aggregate: string, status: string, event: DomainEvent): never {
  throw new GatewayError(
    'EVENT_IMPOSSIBLE',
    'internal',
    `The log holds ${event.type} on a ${aggregate} that is ${status}: it was not written by this program.`,
  );
}
