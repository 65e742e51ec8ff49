/**
 * `--watch`: a listing that stays true. On a terminal it is drawn anew whenever something changes, until Ctrl-C; elsewhere it is
 * printed again when it differs, with `--json` as one line each time, for programs that read along.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Connection, type ConnectionOptions, findConnection } from './connection.ts';
import { followEvents } from './event-source.ts';
import { listenForStop } from './supervisor/stop-signal.ts';
import type { Terminal } from './terminal.ts';

export interface WatchOptions extends ConnectionOptions {
  watch?: true;
  json?: true;
}

/** Many changes at once are one. */
const settleMs = 300;
/** Times and counts in a listing grow old without an event. */
const refreshMs = 15_000;

export const watchFlag = ['--watch', 'keep showing it as it changes, until Ctrl-C'] as const;

/**
 * The action of a listing that can be watched.
 * @param events which of `GET /v1/events` change the listing.
 * @param list prints the listing once, to the terminal that it gets.
 */
export function watchable<Options extends WatchOptions>(
  terminal: Terminal,
  events: string,
  list: (options: Options, terminal: Terminal) => Promise<void>,
  connect: (options: Options, terminal: Terminal) => Promise<Connection> = findConnection,
): (options: Options) => Promise<void> {
  return async options => {
    if (!options.watch) return list(options, terminal);
    const { api } = await connect(options, terminal);
    const stop = listenForStop();
    const stopping = new AbortController();
    void stop.asked.then(() => stopping.abort());
    const { signal } = stopping;
    let wake: () => void = () => undefined;
    let shown = '';
    const draw = async () => {
      const lines: string[] = [];
      const collecting = { ...terminal, out: (text: string) => void lines.push(text), err: (text: string) => void lines.push(text) };
      await list(options, collecting);
      const text = options.json ? JSON.stringify(JSON.parse(lines.join('\n'))) : lines.join('\n');
      if (terminal.isOutTerminal) terminal.raw(`\u001b[H\u001b[2J${text}\n`);
      else if (text !== shown) terminal.out(text);
      shown = text;
    };
    const drawing = async () => {
      while (!signal.aborted) {
        const changed = new Promise<void>(resolve => {
          wake = resolve;
        });
        await draw();
        // Waits end early when they are told to stop, which the loop sees.
        await Promise.race([changed, delay(refreshMs, undefined, { signal }).catch(() => undefined)]);
        await delay(settleMs, undefined, { signal }).catch(() => undefined);
      }
    };
    try {
      await Promise.all([followEvents(api, `/v1/events?events=${events}`, () => wake(), signal), drawing()]);
    } finally {
      stopping.abort();
      stop.dispose();
    }
  };
}
