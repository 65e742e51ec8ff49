/**
 * `npm run -s bench:postgres`: what the agent costs a PostgreSQL client, beside what other things in the same place cost.
 *
 * Subjects, alternating in one run: a direct connection (without and with TLS), haproxy as a TCP relay, pgbouncer with TLS to
 * the client (session pooling), and the agent with TLS to the client, guards, column masks, detectors and strict records on,
 * inside a whole `sallyport up`. The cases are those of the table that it prints. `--rounds N --seconds N --only case` bound it.
 */
import { execFile } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { startGateway } from '../e2e/components/gateway.ts';
import { startIssuer } from '../e2e/components/issuer.ts';
import { freePort, startPostgres } from '../e2e/components/postgres.ts';
import { alternate, figure, median, table } from './harness/figures.ts';
import { cpuSeconds, memoryBytes, needPackages, portOpen, start, stopAll } from './harness/processes.ts';

const run = promisify(execFile);
const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    only: { type: 'string', multiple: true },
  },
});
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);
const wanted = (name: string) => !options.only || options.only.some(only => name.includes(only));
const bench = 'postgres';
const nobody = 65534;

interface Subject {
  name: string;
  port: number;
  env: Record<string, string>;
  /** The process in between, if there is one. */
  pid?: number;
}

needPackages('postgresql-client-15', 'haproxy', 'pgbouncer', 'openssl');
const dir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-bench-'));
chmodSync(dir, 0o755);
const postgres = await startPostgres({ settings: { shared_buffers: '256MB', password_encryption: 'scram-sha-256' } });
const issuer = await startIssuer();
const cleanup: (() => Promise<unknown>)[] = [() => postgres.stop(), () => issuer.stop()];

async function haproxy(): Promise<Subject> {
  const port = await freePort();
  const file = path.join(dir, 'haproxy.cfg');
  writeFileSync(
    file,
    `global\n  maxconn 1000\n  nbthread 2\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 10m\n  timeout server 10m\nlisten pg\n  bind 127.0.0.1:${port}\n  server s 127.0.0.1:${postgres.port}\n`,
  );
  const child = start('haproxy', ['-f', file, '-db']);
  await portOpen(port);
  return { name: 'haproxy', port, env: { PGSSLMODE: 'disable', PGPASSWORD: postgres.app.password }, pid: child.pid ?? 0 };
}

async function pgbouncer(): Promise<Subject> {
  const port = await freePort();
  const tls = path.dirname(postgres.ca);
  for (const name of ['server.crt', 'server.key']) {
    writeFileSync(path.join(dir, name), readFileSync(path.join(tls, name)));
    chownSync(path.join(dir, name), nobody, nobody);
  }
  writeFileSync(path.join(dir, 'users'), `"${postgres.app.user}" "${postgres.app.password}"\n`);
  const file = path.join(dir, 'pgbouncer.ini');
  writeFileSync(
    file,
    `[databases]\n* = host=127.0.0.1 port=${postgres.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = ${port}\nunix_socket_dir =\nauth_type = plain\nauth_file = ${path.join(dir, 'users')}\npool_mode = session\nmax_client_conn = 500\ndefault_pool_size = 100\nserver_tls_sslmode = disable\nclient_tls_sslmode = require\nclient_tls_cert_file = ${path.join(dir, 'server.crt')}\nclient_tls_key_file = ${path.join(dir, 'server.key')}\nclient_tls_protocols = secure\nlog_connections = 0\nlog_disconnections = 0\n`,
  );
  const child = start('pgbouncer', [file], { uid: nobody, gid: nobody });
  await portOpen(port);
  return { name: 'pgbouncer-tls', port, env: { PGSSLMODE: 'require', PGPASSWORD: postgres.app.password }, pid: child.pid ?? 0 };
}

const manifests = (listen: number) => `
apiVersion: sallyport.dev/v1
kind: Resource
metadata: { name: bench, labels: { env: bench } }
spec:
  protocol: postgres
  upstream: { address: "127.0.0.1:${postgres.port}", database: app, tls: { mode: disable } }
  listen: "127.0.0.1:${listen}"
  credential: bench-app
---
apiVersion: sallyport.dev/v1
kind: Credential
metadata: { name: bench-app }
spec: { username: app, password: { env: BENCH_PASSWORD } }
---
apiVersion: sallyport.dev/v1
kind: IdentityProvider
metadata: { name: bench }
spec: { oidc: { issuer: "${issuer.url}", audiences: [sallyport] } }
---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: bench }
spec: { members: { groups: [bench] }, resources: { names: [bench] } }
---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: sql-safety }
spec:
  resources: { labels: { env: bench } }
  rules:
    - { name: no-ddl, match: { statements: [drop, truncate, alter, grant, create-role] }, action: deny, message: "Schema changes go through migrations." }
---
apiVersion: sallyport.dev/v1
kind: DataPolicy
metadata: { name: pii }
spec:
  resources: { names: [bench] }
  columns: [{ match: "public.customers.email", action: mask, as: partial }]
  detectors: [email, us-ssn, payment-card, aws-access-key, github-token, private-key, jwt, known-credentials]
---
apiVersion: sallyport.dev/v1
kind: AuditPolicy
metadata: { name: default }
spec: { resources: {}, durability: strict, responses: head, headBytes: 65536 }
`;

async function pgbench(subject: Subject, ...args: string[]): Promise<string> {
  const { stdout } = await run('pgbench', ['-n', '-S', '-h', '127.0.0.1', '-p', String(subject.port), '-U', 'app', ...args, 'app'], {
    env: { ...process.env, ...subject.env },
    maxBuffer: 1 << 24,
  });
  return stdout;
}
const number = (text: string, pattern: RegExp): number => {
  const found = pattern.exec(text)?.[1];
  if (found === undefined) throw new Error(`pgbench printed nothing like ${pattern}:\n${text}`);
  return Number(found);
};
const tps = (text: string) => number(text, /^tps = ([\d.]+)/m);
const latencyMs = (text: string) => number(text, /^latency average = ([\d.]+) ms/m);
const transactions = (text: string) => number(text, /^number of transactions actually processed: (\d+)/m);

try {
  await run('pgbench', ['-i', '-q', '-s', '10', '-h', '127.0.0.1', '-p', String(postgres.port), '-U', 'app', 'app'], {
    env: { ...process.env, PGPASSWORD: postgres.app.password },
  });
  const listen = await freePort();
  const gateway = await startGateway({ manifests: { 'bench.yaml': manifests(listen) }, env: { BENCH_PASSWORD: postgres.app.password } });
  cleanup.unshift(() => gateway.stop());
  const token = await issuer.token({ sub: 'bench', groups: ['bench'], exp: Math.floor(Date.now() / 1000) + 7200 });
  const direct: Subject = { name: 'direct', port: postgres.port, env: { PGSSLMODE: 'disable', PGPASSWORD: postgres.app.password } };
  const directTls: Subject = { name: 'direct-tls', port: postgres.port, env: { PGSSLMODE: 'require', PGPASSWORD: postgres.app.password } };
  const agent: Subject = {
    name: 'agent',
    port: gateway.address('bench').port,
    env: { PGSSLMODE: 'require', PGPASSWORD: token },
    pid: gateway.endpoints().pids.agent ?? 0,
  };
  const bouncer = await pgbouncer();
  const relay = await haproxy();

  for (const mode of ['prepared', 'simple'] as const) {
    const name = `select-${mode}-16`;
    if (!wanted(name)) continue;
    const cpu = new Map<string, number[]>();
    const values = await alternate([direct, relay, bouncer, agent], rounds, async subject => {
      const before = subject.pid ? cpuSeconds(subject.pid) : 0;
      const text = await pgbench(subject, '-M', mode, '-c', '16', '-j', '2', '-T', String(seconds));
      if (subject.pid)
        cpu.set(subject.name, [...(cpu.get(subject.name) ?? []), ((cpuSeconds(subject.pid) - before) * 1e6) / transactions(text)]);
      return tps(text);
    });
    const of = (subject: string) => median(values.get(subject) ?? []);
    const target = mode === 'prepared' ? 0.7 : 0.6;
    for (const subject of values.keys()) {
      const ratio = of(subject) / of('pgbouncer-tls');
      figure({
        bench,
        case: name,
        subject,
        value: of(subject),
        unit: 'tps',
        ratios: { direct: of(subject) / of('direct'), 'pgbouncer-tls': ratio },
        ...(subject === 'agent' ? { target: `≥ ${target} × pgbouncer-tls`, met: ratio >= target } : {}),
      });
    }
    const cost = (subject: string) => median(cpu.get(subject) ?? []);
    for (const subject of cpu.keys()) {
      const ratio = cost(subject) / cost('pgbouncer-tls');
      figure({
        bench,
        case: `${name}-cpu`,
        subject,
        value: cost(subject),
        unit: 'µs/command',
        ratios: { 'pgbouncer-tls': ratio },
        ...(subject === 'agent' ? { target: '≤ 2.5 × pgbouncer-tls', met: ratio <= 2.5 } : {}),
      });
    }
  }

  for (const mode of ['prepared', 'simple'] as const) {
    const name = `latency-${mode}-1`;
    if (!wanted(name)) continue;
    const values = await alternate(
      [direct, bouncer, agent],
      rounds,
      async subject => latencyMs(await pgbench(subject, '-M', mode, '-c', '1', '-T', String(seconds))) * 1000,
    );
    const of = (subject: string) => median(values.get(subject) ?? []);
    for (const subject of ['pgbouncer-tls', 'agent']) {
      const added = of(subject) - of('direct');
      const ratio = added / (of('pgbouncer-tls') - of('direct'));
      figure({
        bench,
        case: name,
        subject,
        value: added,
        unit: 'µs added',
        ratios: { 'pgbouncer-tls': ratio },
        ...(subject === 'agent' ? { target: '≤ 1.7 × pgbouncer-tls', met: ratio <= 1.7 } : {}),
      });
    }
  }

  for (const clients of [1, 16]) {
    const name = `connect-${clients}`;
    if (!wanted(name)) continue;
    const values = await alternate([directTls, bouncer, agent], rounds, async subject =>
      tps(await pgbench(subject, '-C', '-c', String(clients), '-j', String(Math.min(2, clients)), '-T', String(seconds))),
    );
    const of = (subject: string) => median(values.get(subject) ?? []);
    for (const subject of values.keys()) {
      const ratio = of(subject) / of('direct-tls');
      figure({
        bench,
        case: name,
        subject,
        value: of(subject),
        unit: 'connections/s',
        ratios: { 'direct-tls': ratio },
        ...(subject === 'agent' ? { target: '≥ 0.6 × direct-tls', met: ratio >= 0.6 } : {}),
      });
    }
  }
  if (agent.pid) figure({ bench, case: 'memory-after', subject: 'agent', value: memoryBytes(agent.pid).now / 2 ** 20, unit: 'MiB' });
  table();
} finally {
  for (const end of cleanup) await end();
  stopAll();
  rmSync(dir, { recursive: true, force: true });
}
