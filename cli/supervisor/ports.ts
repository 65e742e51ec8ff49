/**
 * Which loopback ports a start uses. A port that somebody asked for is demanded; the others are only preferred: several
 * Sallyports run on one machine, and the second one simply gets others. What was chosen is kept for the next start.
 */
import { createServer, type Server } from 'node:net';
import { GatewayError } from '@sallyport/shared/errors.ts';

export interface PortWish {
  name: string;
  /** Given by a flag: this one or none. */
  demanded?: number;
  /** The flag's name, for the message. */
  flag?: string;
  /** What the last start on this data folder had. */
  kept?: number;
  preferred: number;
}

/**
 * Chooses a free port for each wish, each a different one.
 *
 * There is a moment between this and the child's own bind in which another program may take the port: `takenOf` tells, and
 * the start is tried again.
 *
 * @throws {GatewayError} PORT_TAKEN for a demanded port.
 */
export async function choosePorts(wishes: readonly PortWish[]): Promise<Record<string, number>> {
  const held: Server[] = [];
  const chosen: Record<string, number> = {};
  try {
    // What is demanded and what was kept goes first, so that no preference of another takes it away.
    for (const wish of [...wishes].sort((a, b) => rank(a) - rank(b))) {
      const candidates = wish.demanded === undefined ? [wish.kept, wish.preferred, 0] : [wish.demanded];
      for (const candidate of candidates) {
        if (candidate === undefined) continue;
        const server = await hold('127.0.0.1', candidate);
        if (!server) continue;
        held.push(server);
        const address = server.address();
        if (address !== null && typeof address === 'object') chosen[wish.name] = address.port;
        break;
      }
      if (chosen[wish.name] === undefined) {
        throw new GatewayError(
          'PORT_TAKEN',
          'conflict',
          `port ${wish.demanded} (${wish.flag ?? wish.name}) is in use by another program. Stop that program or give another port.`,
        );
      }
    }
  } finally {
    await Promise.all(held.map(server => new Promise(resolve => server.close(resolve))));
  }
  return chosen;
}

/** Whether a program could listen on `host:port` now. */
export async function isFree(host: string, port: number): Promise<boolean> {
  const server = await hold(host, port);
  if (!server) return false;
  await new Promise(resolve => server.close(resolve));
  return true;
}

/** Those of the ports that some program has. */
export async function takenOf(ports: Readonly<Record<string, number>>): Promise<number[]> {
  const free = await Promise.all(Object.values(ports).map(async port => ((await isFree('127.0.0.1', port)) ? [] : [port])));
  return free.flat();
}

export interface HeldPort {
  /** Once is enough; more do no harm. */
  release(): Promise<void>;
}

/**
 * Keeps others from taking a port until somebody of ours does.
 * @throws {GatewayError} PORT_TAKEN when another was faster.
 */
export async function holdPort(port: number): Promise<HeldPort> {
  const server = await hold('127.0.0.1', port);
  if (server === null) throw new GatewayError('PORT_TAKEN', 'conflict', `port ${port} is in use by another program.`);
  let released: Promise<void> | undefined;
  return {
    release() {
      released ??= new Promise(resolve => server.close(() => resolve()));
      return released;
    },
  };
}

function rank(wish: PortWish): number {
  if (wish.demanded !== undefined) return 0;
  return wish.kept === undefined ? 2 : 1;
}

function hold(host: string, port: number): Promise<Server | null> {
  return new Promise(resolve => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen({ host, port, exclusive: true }, () => resolve(server));
  });
}
