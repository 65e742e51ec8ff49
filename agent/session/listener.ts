/**
 * Accepts a resource's connections and bounds those that are not authenticated: in number, by address, and in time.
 *
 * An unauthenticated connection costs one socket and nothing else; when there are too many, the oldest goes, so that newcomers
 * who know what they want are never kept out by those who sit and wait.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { Gateway } from './gateway.ts';
import type { Protocol } from './protocol.ts';

export interface ListenerLimits {
  /** From accept to authenticated. */
  authenticationMs: number;
  unauthenticatedMax: number;
  unauthenticatedPerAddressMax: number;
}

export const LISTENER_LIMITS: ListenerLimits = { authenticationMs: 10_000, unauthenticatedMax: 4096, unauthenticatedPerAddressMax: 1024 };

const SWEEP_MS = 250;

interface Waiting {
  socket: Socket;
  address: string;
  clientAddress: string;
  deadlineMs: number;
}

export interface ListenerOptions {
  gateway: Gateway;
  resource: string;
  protocol: Protocol;
  host: string;
  port: number;
  /** Several workers listen on the same port. */
  reusePort: boolean;
  limits?: ListenerLimits;
}

export class Listener {
  readonly resource: string;
  readonly #options: ListenerOptions;
  readonly #limits: ListenerLimits;
  readonly #server: Server;
  /** In order of arrival: the first is the oldest. */
  readonly #waiting = new Set<Waiting>();
  readonly #byAddress = new Map<string, Set<Waiting>>();
  readonly #sockets = new Set<Socket>();
  readonly #sweep: NodeJS.Timeout;

  private constructor(options: ListenerOptions) {
    this.resource = options.resource;
    this.#options = options;
    this.#limits = options.limits ?? {
      ...LISTENER_LIMITS,
      authenticationMs: options.protocol.authenticationMs ?? LISTENER_LIMITS.authenticationMs,
    };
    this.#server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000, allowHalfOpen: false }, socket =>
      this.#accept(socket),
    );
    this.#sweep = setInterval(() => this.#dropExpired(Date.now()), SWEEP_MS);
    this.#sweep.unref();
  }

  /** @throws when the address cannot be bound. */
  static open(options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(options);
    return new Promise((resolve, reject) => {
      const failed = (error: Error) => {
        clearInterval(listener.#sweep);
        reject(error);
      };
      listener.#server.once('error', failed);
      listener.#server.listen(
        { host: options.host, port: options.port, reusePort: options.reusePort, exclusive: true, backlog: 4096 },
        () => {
          listener.#server.off('error', failed);
          // Failures of single accepts (no descriptors left) must not end the worker; the connections that are there go on.
          listener.#server.on('error', () => undefined);
          resolve(listener);
        },
      );
    });
  }

  get address(): string {
    const address = this.#server.address();
    return address !== null && typeof address === 'object' ? hostPort(address.address, address.port) : '';
  }

  /** Stops accepting; connections that are there stay until `destroy`. */
  close(): void {
    clearInterval(this.#sweep);
    this.#server.close();
  }

  destroy(): void {
    this.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const waiting: Waiting = {
      socket,
      address,
      clientAddress: hostPort(address, socket.remotePort ?? 0),
      deadlineMs: Date.now() + this.#limits.authenticationMs,
    };
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#settle(waiting);
    });
    this.#waiting.add(waiting);
    let sameAddress = this.#byAddress.get(address);
    if (sameAddress === undefined) {
      sameAddress = new Set();
      this.#byAddress.set(address, sameAddress);
    }
    sameAddress.add(waiting);
    if (sameAddress.size > this.#limits.unauthenticatedPerAddressMax) this.#drop(first(sameAddress), 'TOO_MANY_UNAUTHENTICATED');
    else if (this.#waiting.size > this.#limits.unauthenticatedMax) this.#drop(first(this.#waiting), 'TOO_MANY_UNAUTHENTICATED');
    this.#options.protocol.serve(socket, {
      gateway: this.#options.gateway,
      resource: this.resource,
      clientAddress: waiting.clientAddress,
      authenticated: () => this.#settle(waiting),
    });
  }

  #settle(waiting: Waiting): void {
    if (!this.#waiting.delete(waiting)) return;
    const sameAddress = this.#byAddress.get(waiting.address);
    if (sameAddress === undefined) return;
    sameAddress.delete(waiting);
    if (sameAddress.size === 0) this.#byAddress.delete(waiting.address);
  }

  #drop(waiting: Waiting | undefined, code: 'TOO_MANY_UNAUTHENTICATED' | 'AUTHENTICATION_TIMEOUT'): void {
    if (waiting === undefined) return;
    this.#settle(waiting);
    const reason =
      code === 'AUTHENTICATION_TIMEOUT'
        ? `not authenticated within ${this.#limits.authenticationMs} ms`
        : 'the oldest of too many connections that were not authenticated';
    this.#options.gateway.recordRefusal({
      resource: this.resource,
      protocol: this.#options.protocol.name,
      clientAddress: waiting.clientAddress,
      code,
      reason,
      told: '',
    });
    waiting.socket.destroy();
  }

  #dropExpired(nowMs: number): void {
    for (const waiting of this.#waiting) {
      if (waiting.deadlineMs > nowMs) return;
      this.#drop(waiting, 'AUTHENTICATION_TIMEOUT');
    }
  }
}

function first<T>(set: Set<T>): T | undefined {
  for (const element of set) return element;
  return undefined;
}

export function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Splits `host:port` or `[v6]:port`; null when it is neither. */
export function splitHostPort(text: string): { host: string; port: number } | null {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  if (match === null) return null;
  const port = Number(match[3]);
  return port <= 65535 ? { host: (match[1] ?? match[2]) as string, port } : null;
}
