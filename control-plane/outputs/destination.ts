/** Where an output sends to. `send` resolves when the far side has what it was given; until then the events are sent again. */
import type { OutputEvent } from './event.ts';

export interface Destination {
  /** @throws anything: the same events are given again, later. */
  send(events: readonly OutputEvent[], signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}
