/**
 * `sallyport connect RESOURCE [-- CLIENT ARGS]`: runs the resource's own client, set up for the gateway. The ticket goes to it
 * in its environment, never as an argument.
 */
import { spawn } from 'node:child_process';
import os from 'node:os';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { Command } from 'commander';
import { type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { type ApiAddress, requestJson } from '../http-client.ts';
import { nameOf } from '../identity/claims.ts';
import { type IdentityOptions, identityToken, withIdentityOptions } from '../identity/token-source.ts';
import { nearest } from '../nearest-address.ts';
import { findProgram } from '../program.ts';
import { hostForClients, splitAddress } from '../resource-address.ts';
import type { Terminal } from '../terminal.ts';
import { requestTicket } from '../ticket.ts';

interface ConnectOptions extends ConnectionOptions, IdentityOptions {
  database?: string;
}

export function define(terminal: Terminal, exit: (code: number) => void): Command {
  return withIdentityOptions(withConnectionOptions(new Command('sallyport connect')))
    .description('Opens psql or ssh on a resource, through the gateway; without psql on this machine, a small SQL prompt of our own.')
    .argument('<resource>', 'name of the resource')
    .argument('[args...]', 'after `--`: arguments for the client, e.g. -- -c "select 1"')
    .option('--database <NAME>', "database to open (default: the resource's own)")
    .action(async (resource: string, args: string[], options: ConnectOptions) => {
      const connection = await findConnection(options, terminal);
      const token = await identityToken(options, terminal);
      const served = await servedResource(connection.api, token, resource);
      if (served?.protocol === 'ssh') {
        const { connectSsh } = await import('./connect-ssh.ts');
        const address = connection.endpoints?.resources[resource];
        exit(await connectSsh({ api: connection.api, token, resource, address }, args, terminal));
        return;
      }
      const { ticket, address } = await requestTicket(connection.api, token, resource);
      const found = (await nearest(served?.addresses ?? [])) ?? address ?? connection.endpoints?.resources[resource];
      if (found === undefined) {
        throw new GatewayError(
          'RESOURCE_NOT_SERVED',
          'unavailable',
          `no agent serves ${resource} at the moment. \`sallyport agents list\` shows which are connected.`,
        );
      }
      if (connection.caFile === undefined) {
        throw new GatewayError('CA_MISSING', 'invalid', 'give the CA that resources are verified with: --ca FILE or SALLYPORT_CA.');
      }
      const { host, port } = splitAddress(found);
      const target = {
        host: hostForClients(host),
        port,
        user: nameOf(token),
        database: options.database ?? resource,
        ticket,
        caFile: connection.caFile,
      };
      if (findProgram('psql', terminal.env)) exit(await runPsql(target, args, terminal));
      else {
        const { sqlPrompt } = await import('../sql-prompt.ts');
        exit(await sqlPrompt(target, args, terminal));
      }
    });
}

/** As the control plane shows it to who may reach it. */
async function servedResource(api: ApiAddress, token: string, resource: string): Promise<ServedResource | undefined> {
  let cursor: string | null = null;
  do {
    const query: string = cursor === null ? '' : `?cursor=${encodeURIComponent(cursor)}`;
    const answer = (await requestJson({ ...api, token }, 'GET', `/v1/resources${query}`)) as {
      resources: ServedResource[];
      next: string | null;
    };
    const found = answer.resources.find(({ name }) => name === resource);
    if (found !== undefined) return found;
    cursor = answer.next;
  } while (cursor !== null);
  return undefined;
}

interface ServedResource {
  name: string;
  protocol: string;
  /** Of all agents that serve it and take sessions. */
  addresses: string[];
}

/** Where and as whom a client connects. */
export interface ConnectTarget {
  host: string;
  port: number;
  user: string;
  database: string;
  ticket: string;
  caFile: string;
}

/** The environment that sets libpq up: https://www.postgresql.org/docs/current/libpq-envars.html */
export function libpqEnvironment(target: ConnectTarget): Record<string, string> {
  return {
    PGHOST: target.host,
    PGPORT: String(target.port),
    PGUSER: target.user,
    PGDATABASE: target.database,
    PGPASSWORD: target.ticket,
    PGSSLMODE: 'verify-full',
    PGSSLROOTCERT: target.caFile,
  };
}

/** @returns psql's exit code. */
async function runPsql(target: ConnectTarget, args: string[], terminal: Terminal): Promise<number> {
  // What is set for another server would get in the way.
  const kept = Object.fromEntries(
    Object.entries(terminal.env).filter(([name]) => !/^PG(HOST|SSL|SERVICE|PASS|REQUIRE|CHANNEL|GSS|OPTIONS)/.test(name)),
  );
  const child = spawn('psql', args, { stdio: 'inherit', env: { ...kept, ...libpqEnvironment(target) } });
  // Ctrl-C is psql's: it cancels a query.
  const ignore = () => {};
  process.on('SIGINT', ignore);
  const forward = () => child.kill('SIGTERM');
  process.on('SIGTERM', forward);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve(code ?? 128 + (signal ? os.constants.signals[signal] : 0)));
    });
  } finally {
    process.off('SIGINT', ignore);
    process.off('SIGTERM', forward);
  }
}
