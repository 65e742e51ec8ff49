/**
 * Lets the engine's own session in, once.
 *
 * The engine begins with a session of a user named `default` that has no password, and the same name is what an HTTP request without
 * credentials gets. So `default` is checked by asking this gate (ClickHouse's `http_authentication`): it says yes to the first
 * question, which the engine asks before it listens anywhere, and no for ever after.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Gate {
  readonly port: number;
}

/** Listens on a free port of 127.0.0.1 for as long as the process lives. */
export async function openGate(): Promise<Gate> {
  let open = true;
  const server: Server = createServer((request, response) => {
    request.resume();
    response.writeHead(open ? 200 : 403, { 'Content-Length': 0 }).end();
    open = false;
  });
  server.unref();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return { port: (server.address() as AddressInfo).port };
}
