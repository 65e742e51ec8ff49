/**
 * Where each resource is listened on: as its manifest says, or on a loopback port that is chosen once and then kept, so that
 * clients' settings stay right across restarts.
 *
 * A port that another program holds is found out here, by binding it alone: workers bind with `reusePort`, which would let two
 * programs of one user share it unnoticed.
 */
import { randomInt } from 'node:crypto';
import net from 'node:net';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { readPrivateJson, replacePrivateFile } from '../files.ts';

export interface WantedListener {
  resource: string;
  /** host:port of the manifest; null: any free port on loopback. Port 0 is any free port on that host. */
  listen: string | null;
}

export interface ListenPlan {
  /** resource → host:port, with a real port. */
  listen: Record<string, string>;
  /** resource → why it cannot be listened on. */
  problems: Record<string, string>;
}

/**
 * Where a port is taken from that nobody asked for: below the range from which the kernel gives every outgoing connection one. From
 * there it would not be free again after every restart.
 */
const ANY_FROM = 20_000;
const ANY_TO = 32_000;
const ANY_TRIES = 200;

export class ListenPorts {
  readonly #file: string;
  /** resource → address that was chosen for it. */
  readonly #chosen: Map<string, string>;
  /** What the workers hold now. */
  #held = new Map<string, string>();

  private constructor(file: string, chosen: Map<string, string>) {
    this.#file = file;
    this.#chosen = chosen;
  }

  static async open(file: string): Promise<ListenPorts> {
    const stored = (await readPrivateJson(file)) ?? {};
    return new ListenPorts(
      file,
      new Map(Object.entries(stored).filter((entry): entry is [string, string] => typeof entry[1] === 'string')),
    );
  }

  /** Settles the addresses of these resources; those that are held already are not probed again. */
  async plan(wanted: readonly WantedListener[]): Promise<ListenPlan> {
    const plan: ListenPlan = { listen: {}, problems: {} };
    const taken = new Set<string>();
    // What a manifest asks for goes before what is chosen, whoever comes first.
    const asked = new Set(wanted.map(({ listen }) => listen));
    for (const { resource, listen } of wanted) {
      try {
        const isOthers = (address: string) =>
          taken.has(address) || asked.has(address) || [...this.#chosen].some(([name, kept]) => kept === address && name !== resource);
        const address = listen === null || portOf(listen) === 0 ? await this.#choose(resource, listen, isOthers) : listen;
        if (taken.has(address)) throw new GatewayError('PORT_IN_USE', 'conflict', `${address} is given to two resources`);
        if (this.#held.get(resource) !== address && !(await isFree(address))) {
          throw new GatewayError(
            'PORT_IN_USE',
            'conflict',
            `${address} is in use by another program: stop it, or change \`listen\` of ${resource}`,
          );
        }
        taken.add(address);
        plan.listen[resource] = address;
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error;
        plan.problems[resource] = error.message;
      }
    }
    this.#held = new Map(Object.entries(plan.listen));
    return plan;
  }

  /** The address kept from before if it is free and no other's, or another free port of the host. */
  async #choose(resource: string, listen: string | null, isOthers: (address: string) => boolean): Promise<string> {
    const host = listen === null ? '127.0.0.1' : splitAddress(listen).host;
    const kept = this.#chosen.get(resource);
    const isOurs = kept !== undefined && splitAddress(kept).host === host && !isOthers(kept);
    if (isOurs && (this.#held.get(resource) === kept || (await isFree(kept)))) return kept;
    const address = await freeAddress(host, isOthers);
    this.#chosen.set(resource, address);
    await replacePrivateFile(this.#file, JSON.stringify(Object.fromEntries(this.#chosen)));
    return address;
  }
}

/** @throws {GatewayError} ADDRESS_INVALID. */
export function splitAddress(address: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65535) throw new GatewayError('ADDRESS_INVALID', 'invalid', `'${address}' is not HOST:PORT`);
  return { host, port };
}

export function joinAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function portOf(address: string): number {
  return splitAddress(address).port;
}

function bind(host: string, port: number): Promise<net.Server> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen({ host, port, exclusive: true }, () => resolve(server));
  });
}

/** Can the address be bound by us alone? @throws {GatewayError} ADDRESS_UNUSABLE when it cannot for another reason. */
async function isFree(address: string): Promise<boolean> {
  const { host, port } = splitAddress(address);
  try {
    const server = await bind(host, port);
    await new Promise(resolve => server.close(resolve));
    return true;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code === 'EADDRINUSE') return false;
    throw new GatewayError('ADDRESS_UNUSABLE', 'invalid', `${address} cannot be listened on (${code})`, { cause: error });
  }
}

async function freeAddress(host: string, isOthers: (address: string) => boolean): Promise<string> {
  for (let tries = 0; tries < ANY_TRIES; tries++) {
    const address = joinAddress(host, randomInt(ANY_FROM, ANY_TO));
    if (!isOthers(address) && (await isFree(address))) return address;
  }
  throw new GatewayError('PORT_IN_USE', 'conflict', `no port of ${host} between ${ANY_FROM} and ${ANY_TO} is free`);
}
