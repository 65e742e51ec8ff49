/** OCSF events as JSON over HTTP: an array, or one on each line. An answer of 2xx takes them. */
import type { Target } from './config.ts';
import type { Destination } from './destination.ts';
import { ocsf } from './ocsf.ts';
import { post } from './post.ts';

export function httpDestination(target: Extract<Target, { kind: 'http' }>, version: string): Destination {
  return {
    async send(events, signal) {
      const shown = events.map(event => ocsf(event, { version }));
      const text = target.lines ? shown.map(each => `${JSON.stringify(each)}\n`).join('') : JSON.stringify(shown);
      const headers = { 'content-type': target.lines ? 'application/x-ndjson' : 'application/json', ...target.headers };
      await post(target.url, Buffer.from(text), { headers, ca: target.ca, signal });
    },
    close: () => Promise.resolve(),
  };
}
