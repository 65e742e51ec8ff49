/**
 * Follows `GET /v1/events`: comes back after a break and goes on where it was, until it is told to stop. What the server refuses is
 * an error; what breaks is tried again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { type ApiAddress, openStream } from './http-client.ts';

export interface ServerEvent {
  type: string;
  data: Record<string, unknown>;
}

/** The server shows that the line lives more often than this. */
const silenceMs = 40_000;
const retryMaxMs = 15_000;
/** An event is never larger: texts are cut by the server. */
const blockCharactersMax = 4_000_000;

/**
 * @param path with its query, e.g. `/v1/events?events=command`.
 * @param onEvent gets each event in order; `hello` at each (re)connect, with `resumed: false` when something may have been missed.
 * @throws {GatewayError} as `requestJson` for what the server refuses, and when the first connection fails.
 */
export async function followEvents(
  api: ApiAddress,
  path: string,
  onEvent: (event: ServerEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const parser = new EventParser(onEvent);
  for (let failures = 0, connected = false; !signal.aborted; ) {
    try {
      const headers = parser.lastId === '' ? {} : { 'last-event-id': parser.lastId };
      const stream = await openStream(api, path, { accept: 'text/event-stream', ...headers }, silenceMs, signal);
      connected = true;
      failures = 0;
      stream.setEncoding('utf8');
      for await (const text of stream) parser.take(text as string);
    } catch (error) {
      const refused = error instanceof GatewayError && error.kind !== 'unavailable';
      if (!signal.aborted && (refused || !connected)) throw error;
    }
    parser.broken();
    await delay(Math.min(retryMaxMs, parser.retryMs * 2 ** failures++), undefined, { signal }).catch(() => undefined); // Told to stop: the loop sees it.
  }
}

/** The format of https://html.spec.whatwg.org/multipage/server-sent-events.html, with one line of data in an event. */
export class EventParser {
  lastId = '';
  retryMs = 1000;
  readonly #onEvent: (event: ServerEvent) => void;
  #rest = '';

  constructor(onEvent: (event: ServerEvent) => void) {
    this.#onEvent = onEvent;
  }

  /** @throws {GatewayError} API_UNREACHABLE when this is no stream of events. */
  take(text: string): void {
    const blocks = (this.#rest + text).split('\n\n');
    this.#rest = blocks.pop() ?? '';
    if (this.#rest.length > blockCharactersMax) throw new GatewayError('API_UNREACHABLE', 'protocol', 'what answers sends no events.');
    for (const block of blocks) this.#block(block);
  }

  /** What came in part is not used. */
  broken(): void {
    this.#rest = '';
  }

  #block(block: string): void {
    let type = 'message';
    let data: string | null = null;
    for (const line of block.split('\n')) {
      const colon = line.indexOf(': ');
      const [field, value] = [line.slice(0, colon), line.slice(colon + 2)];
      if (field === 'id') this.lastId = value;
      else if (field === 'event') type = value;
      else if (field === 'data') data = value;
      else if (field === 'retry' && /^\d{1,6}$/.test(value)) this.retryMs = Number(value);
    }
    if (data === null) return;
    this.#onEvent({ type, data: JSON.parse(data) as Record<string, unknown> });
  }
}
