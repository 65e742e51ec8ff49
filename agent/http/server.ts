/**
 * /healthz, /readyz and /metrics. Read-only, without secrets, and on loopback unless the operator says otherwise: there is no
 * authentication here.
 */
import http from 'node:http';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { joinAddress } from '../host/listen-ports.ts';

export interface HttpOptions {
  host: string;
  port: number;
  readiness: () => { ready: boolean; detail: Record<string, unknown> };
  /** Prometheus text. */
  metrics: () => Promise<string>;
}

export interface HttpServer {
  url: string;
  close(): Promise<void>;
}

/** @throws {GatewayError} PORT_IN_USE, ADDRESS_UNUSABLE. */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const server = http.createServer(
    { maxHeaderSize: 8 * 1024, headersTimeout: 5000, requestTimeout: 10_000, keepAliveTimeout: 5000 },
    (request, response) => {
      const send = (status: number, type: string, body: string) => {
        response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body), 'cache-control': 'no-store' });
        response.end(request.method === 'HEAD' ? undefined : body);
      };
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        response.setHeader('allow', 'GET, HEAD');
        send(405, 'text/plain', 'only GET\n');
        return;
      }
      switch ((request.url ?? '').split('?')[0]) {
        case '/healthz':
          send(200, 'text/plain', 'ok\n');
          return;
        case '/readyz': {
          const { ready, detail } = options.readiness();
          send(ready ? 200 : 503, 'application/json', `${JSON.stringify({ ready, ...detail })}\n`);
          return;
        }
        case '/metrics':
          options.metrics().then(
            text => send(200, 'text/plain; version=0.0.4; charset=utf-8', text),
            (error: unknown) => send(500, 'text/plain', `${errorText(error)}\n`),
          );
          return;
        default:
          send(404, 'text/plain', 'not here: /healthz, /readyz, /metrics\n');
      }
    },
  );
  server.maxConnections = 128;
  await new Promise<void>((resolve, reject) => {
    server.once('error', error => {
      const where = joinAddress(options.host, options.port);
      const used = 'code' in error && error.code === 'EADDRINUSE';
      reject(
        used
          ? new GatewayError('PORT_IN_USE', 'conflict', `${where} is in use by another program: give another address with --http`)
          : new GatewayError('ADDRESS_UNUSABLE', 'invalid', `${where} cannot be listened on: ${errorText(error)}`, { cause: error }),
      );
    });
    server.listen(options.port, options.host, resolve);
  });
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : options.port;
  return {
    url: `http://${joinAddress(options.host, port)}`,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
