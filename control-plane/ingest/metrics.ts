/** Ingest's figures over HTTP, on loopback unless told otherwise: Prometheus text at /metrics, /healthz, /readyz. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TopicFigures } from './topic-follower.ts';

export type Figures = ReadonlyMap<string, TopicFigures>;

type Kind = 'counter' | 'gauge';
const families: readonly [name: string, kind: Kind, help: string, value: (figures: TopicFigures) => number][] = [
  ['next_offset', 'gauge', 'The next entry of the topic to be stored.', f => Number(f.nextOffset)],
  ['lag_entries', 'gauge', 'Entries in the log that are not stored yet.', f => Math.max(0, Number(f.endOffset - f.nextOffset))],
  ['batches_total', 'counter', 'Batches written.', f => f.batches],
  ['entries_total', 'counter', 'Entries stored.', f => f.entries],
  ['records_total', 'counter', 'Records or events stored.', f => f.records],
  ['doubles_total', 'counter', 'Records that came twice and were stored once.', f => f.doubles],
  ['dead_letters_total', 'counter', 'Records or entries that could not be read.', f => f.deadLetters],
  ['store_errors_total', 'counter', 'Attempts to write that failed.', f => f.storeErrors],
  ['last_write_timestamp_seconds', 'gauge', 'When the last batch was written.', f => f.lastWriteAt],
];

export function metricsText(topics: Figures): string {
  const lines: string[] = [];
  for (const [name, kind, help, value] of families) {
    lines.push(`# HELP sallyport_ingest_${name} ${help}`, `# TYPE sallyport_ingest_${name} ${kind}`);
    for (const [topic, figures] of topics) lines.push(`sallyport_ingest_${name}{topic="${topic}"} ${value(figures)}`);
  }
  return `${lines.join('\n')}\n`;
}

/**
 * @param listen host:port; port 0 takes a free one.
 * @returns where it listens, e.g. http://127.0.0.1:40123
 */
export async function serveMetrics(topics: Figures, listen = '127.0.0.1:0'): Promise<{ url: string; close: () => void }> {
  const server: Server = createServer((request, response) => {
    const problems = [...topics].flatMap(([topic, { problem }]) => (problem === null ? [] : [{ topic, problem }]));
    switch (request.method === 'GET' ? request.url : '') {
      case '/metrics':
        response.writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' }).end(metricsText(topics));
        break;
      case '/healthz':
        response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"status":"ok"}\n');
        break;
      case '/readyz':
        response
          .writeHead(problems.length === 0 ? 200 : 503, { 'Content-Type': 'application/json' })
          .end(`${JSON.stringify({ status: problems.length === 0 ? 'ready' : 'waiting', problems })}\n`);
        break;
      default:
        response.writeHead(404).end();
    }
  });
  const colon = listen.lastIndexOf(':');
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(Number(listen.slice(colon + 1)), listen.slice(0, colon).replace(/^\[|\]$/g, ''), resolve);
  });
  return { url: `http://${listen.slice(0, colon)}:${(server.address() as AddressInfo).port}`, close: () => server.close() };
}
