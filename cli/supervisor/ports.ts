/**
 * Which loopback ports a start uses. A port that somebody asked for is demanded; the others are only preferred: several
 * Sallyports run on one machine, and the second one simply gets others. What was chosen is kept for the next start.
 */
import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { PortClaims } from './port-claims.ts';

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

/** Where a port is taken from that nobody prefers: below the range from which the kernel gives every outgoing connection one. */
const ANY_FROM = 20_000;
const ANY_TO = 32_000;
const ANY_TRIES = 200;

/**
 * Chooses a free port for each wish, each a different one, and claims it against other starts on this machine. Claims of an earlier
 * choice that are not chosen again are given up.
 *
 * There is a moment between this and the child's own bind in which a program that is no Sallyport may take the port: `takenOf` tells,
 * and the start is tried again.
 *
 * @param avoid ports that were lost before: not taken, unless demanded.
 * @throws {GatewayError} PORT_TAKEN for a demanded port.
 */
export async function choosePorts(
  wishes: readonly PortWish[],
  claims: PortClaims,
  avoid: ReadonlySet<number> = new Set(),
): Promise<Record<string, number>> {
  const chosen: Record<string, number> = {};
  const taken = new Set<number>();
  const take = async (port: number): Promise<boolean> => {
    if (taken.has(port) || !claims.claim(port)) return false;
    return isFree('127.0.0.1', port);
  };
  try {
    // What is demanded and what was kept goes first, so that no preference of another takes it away.
    for (const wish of [...wishes].sort((a, b) => rank(a) - rank(b))) {
      for (const candidate of candidates(wish, avoid)) {
        if (!(await take(candidate))) continue;
        taken.add(candidate);
        chosen[wish.name] = candidate;
        break;
      }
      if (chosen[wish.name] === undefined) {
        throw new GatewayError(
          'PORT_TAKEN',
          'conflict',
          wish.demanded === undefined
            ? `no port is free for ${wish.name} on this machine.`
            : `port ${wish.demanded} (${wish.flag ?? wish.name}) is in use by another program. Stop that program or give another port.`,
        );
      }
    }
  } finally {
    claims.keepOnly(Object.values(chosen));
  }
  return chosen;
}

function* candidates(wish: PortWish, avoid: ReadonlySet<number>): Generator<number> {
  if (wish.demanded !== undefined) {
    yield wish.demanded;
    return;
  }
  for (const port of [wish.kept, wish.preferred]) if (port !== undefined && port > 0 && !avoid.has(port)) yield port;
  for (let tries = 0; tries < ANY_TRIES; tries++) {
    const port = randomInt(ANY_FROM, ANY_TO);
    if (!avoid.has(port)) yield port;
  }
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
