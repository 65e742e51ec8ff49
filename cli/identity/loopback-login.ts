/**
 * Signing in with the browser on this machine: authorization code with PKCE, and the answer on a loopback address of a free port.
 *
 * Whatever else knocks there is turned away without an end to the waiting: another program or a web page can guess the port, but not the
 * state, and a code that it might plant would be of another sign-in.
 *
 * @see RFC 8252 section 7.3, RFC 7636, RFC 9700 section 2.1
 */
import { timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { GatewayError } from '@sallyport/shared/errors.ts';

const callbackPath = '/callback';

export interface Callback {
  redirectUri: string;
  /** The whole address that the browser came back to. @throws {GatewayError} SIGN_IN_FAILED when the time is over. */
  answer: Promise<URL>;
  close(): Promise<void>;
}

/** Listens for the one answer that has the state. */
export async function awaitCallback(state: string, limitMs: number): Promise<Callback> {
  const { promise, resolve, reject } = Promise.withResolvers<URL>();
  let origin = '';
  const server: Server = createServer((request, response) => {
    const came = takeAnswer(request, origin, state);
    if (came !== null) resolve(came);
    tell(response, came !== null);
  });
  await new Promise<void>((listening, failed) => {
    server.once('error', failed);
    server.listen(0, '127.0.0.1', listening);
  });
  const address = server.address();
  origin = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  const late = setTimeout(() => {
    reject(
      new GatewayError('SIGN_IN_FAILED', 'unauthenticated', 'nobody came back from the browser in time. Run `sallyport login` again.'),
    );
  }, limitMs);
  promise.catch(() => undefined); // Whoever awaits it sees it; until then it is no unhandled rejection.
  return {
    redirectUri: `${origin}${callbackPath}`,
    answer: promise,
    close: async () => {
      clearTimeout(late);
      server.closeAllConnections();
      await new Promise<void>(closed => server.close(() => closed()));
    },
  };
}

function takeAnswer({ method, url = '', headers }: IncomingMessage, origin: string, state: string): URL | null {
  // A page of another name that resolves to this machine is none of ours.
  if (method !== 'GET' || `http://${headers.host}` !== origin || url.length > 16_384) return null;
  const asked = URL.parse(url, origin);
  if (asked === null || asked.origin !== origin || asked.pathname !== callbackPath) return null;
  const states = asked.searchParams.getAll('state');
  const [given] = states;
  return states.length === 1 && given !== undefined && isSame(given, state) ? asked : null;
}

function tell(response: ServerResponse, isAnswer: boolean): void {
  response.writeHead(isAnswer ? 200 : 404, {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': "default-src 'none'",
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-store',
    connection: 'close',
  });
  response.end(
    isAnswer
      ? '<!doctype html><html lang="en"><meta charset="utf-8"><title>Sallyport</title><h1>You may close this page</h1><p>The command line goes on.</p></html>'
      : '',
  );
}

function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
