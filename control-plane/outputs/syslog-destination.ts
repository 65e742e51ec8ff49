/**
 * Syslog (RFC 5424) over TLS with octet counting (RFC 5425). The message is the OCSF event as JSON.
 *
 * Syslog has no acknowledgement. A batch counts as sent when the far side's TCP has taken all of it and has kept the connection for a
 * moment after; when the connection breaks, the batch before is sent again with the one that failed, so that what was on the way is not
 * lost. A receiver that dies after that may lose what it had not written.
 */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type TLSSocket } from 'node:tls';
import type { Target } from './config.ts';
import type { Destination } from './destination.ts';
import type { OutputEvent, Severity } from './event.ts';
import { ocsf } from './ocsf.ts';

const SEVERITIES: Readonly<Record<Severity, number>> = { info: 6, warning: 4, high: 3 };
const CONNECT_MS = 15_000;
const SETTLE_MS = 100;

export function syslogDestination(target: Extract<Target, { kind: 'syslog' }>, version: string): Destination {
  let socket: TLSSocket | null = null;
  let before: readonly OutputEvent[] = [];
  const open = async (signal: AbortSignal): Promise<TLSSocket> => {
    const { host, port, ca, cert, key } = target;
    const made = connect({
      host,
      port,
      servername: /^[\d.:]+$/.test(host) ? '' : host,
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    });
    made.on('error', () => {}); // whoever writes is told; between batches the next one finds it closed
    made.on('data', () => {}); // nothing is expected, but what comes must not stop the end from being seen
    try {
      await once(made, 'secureConnect', { signal: AbortSignal.any([signal, AbortSignal.timeout(CONNECT_MS)]) });
    } catch (error) {
      made.destroy();
      throw error;
    }
    return made;
  };
  return {
    async send(events, signal) {
      let again: readonly OutputEvent[] = [];
      if (socket === null || socket.destroyed || socket.readableEnded) {
        socket = await open(signal);
        again = before;
      }
      const used = socket;
      try {
        const bytes = Buffer.concat([...again, ...events].map(event => frame(syslogMessage(event, target, version))));
        await new Promise<void>((resolve, reject) => {
          used.once('close', () => reject(new Error('the receiver closed the connection')));
          used.write(bytes, error => (error ? reject(error) : resolve()));
        });
        await delay(SETTLE_MS, undefined, { signal });
        if (used.destroyed || used.readableEnded) throw new Error('the receiver closed the connection');
        before = events;
      } catch (error) {
        used.destroy();
        socket = null;
        throw error;
      } finally {
        used.removeAllListeners('close');
      }
    },
    async close() {
      if (socket === null) return;
      const closing = socket;
      await Promise.race([new Promise<void>(resolve => closing.end(() => resolve())), delay(1000)]);
      closing.destroy();
    },
  };
}

/** One message of RFC 5424, without framing. */
export function syslogMessage(event: OutputEvent, { facility, hostname }: { facility: number; hostname: string }, version: string): string {
  const priority = facility * 8 + SEVERITIES[event.severity];
  // JSON has no raw control characters, so that a message is one line whatever a client sent.
  const text = JSON.stringify(ocsf(event, { version }));
  return `<${priority}>1 ${new Date(event.atMs).toISOString()} ${hostname} sallyport - ${event.type} - ${text}`;
}

function frame(message: string): Buffer {
  const bytes = Buffer.from(message);
  return Buffer.concat([Buffer.from(`${bytes.length} `), bytes]);
}
