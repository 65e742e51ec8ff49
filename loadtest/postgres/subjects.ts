/** What is compared: the peers' configurations, and a whole gateway with everything on. */
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Gateway, startGateway } from '../../e2e/components/gateway.ts';
import { type Issuer, startIssuer } from '../../e2e/components/issuer.ts';
import { freePort, type PostgresServer, startPostgres } from '../../e2e/components/postgres.ts';
import { portOpen, start, stopAll } from '../harness/processes.ts';

export interface Subject {
  name: string;
  port: number;
  /** For libpq clients. */
  env: Record<string, string>;
  /** What raw clients log in with. */
  login: { user: string; password: string; mode: 'plain' | 'tls' };
  /** The process in between, if there is one. */
  pid?: number;
}

const nobody = 65534;

export class Bench {
  readonly dir: string;
  readonly postgres: PostgresServer;
  readonly issuer: Issuer;
  /** Manifests of further resources, added before the gateway starts. */
  resources: string[] = [];
  private gateway: Gateway | undefined;

  private constructor(dir: string, postgres: PostgresServer, issuer: Issuer) {
    this.dir = dir;
    this.postgres = postgres;
    this.issuer = issuer;
  }

  static async open(): Promise<Bench> {
    const dir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-bench-'));
    chmodSync(dir, 0o755);
    return new Bench(dir, await startPostgres({ settings: { shared_buffers: '256MB' } }), await startIssuer());
  }

  async close(): Promise<void> {
    await this.gateway?.stop();
    await this.issuer.stop();
    await this.postgres.stop();
    stopAll();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** The server's certificate and key where an unprivileged peer can read them. */
  certificate(): { key: string; certificate: string } {
    const tls = path.dirname(this.postgres.ca);
    for (const name of ['server.crt', 'server.key']) {
      writeFileSync(path.join(this.dir, name), readFileSync(path.join(tls, name)));
      chownSync(path.join(this.dir, name), nobody, nobody);
    }
    return { key: path.join(this.dir, 'server.key'), certificate: path.join(this.dir, 'server.crt') };
  }

  direct(mode: 'plain' | 'tls', port = this.postgres.port): Subject {
    return {
      name: mode === 'tls' ? 'direct-tls' : 'direct',
      port,
      env: { PGSSLMODE: mode === 'tls' ? 'require' : 'disable', PGPASSWORD: this.postgres.app.password },
      login: { ...this.postgres.direct, mode },
    };
  }

  async haproxy(port = this.postgres.port): Promise<Subject> {
    const listen = await freePort();
    const file = path.join(this.dir, `haproxy-${listen}.cfg`);
    writeFileSync(
      file,
      `global\n  maxconn 1000\n  nbthread 2\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 10m\n  timeout server 10m\nlisten pg\n  bind 127.0.0.1:${listen}\n  server s 127.0.0.1:${port}\n`,
    );
    const child = start('haproxy', ['-f', file, '-db']);
    await portOpen(listen);
    return { ...this.direct('plain', listen), name: 'haproxy', pid: child.pid ?? 0 };
  }

  /** pgbouncer with TLS to the client, session pooling; `serverTls` for TLS to the server as well. */
  async pgbouncer(port = this.postgres.port, serverTls = false): Promise<Subject> {
    const listen = await freePort();
    const { key, certificate } = this.certificate();
    const { app, direct } = this.postgres;
    const users = path.join(this.dir, 'users');
    writeFileSync(users, `"${app.user}" "${app.password}"\n"${direct.user}" "${direct.password}"\n`);
    const file = path.join(this.dir, `pgbouncer-${listen}.ini`);
    writeFileSync(
      file,
      `[databases]
* = host=127.0.0.1 port=${port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${listen}
unix_socket_dir =
auth_type = plain
auth_file = ${users}
pool_mode = session
max_client_conn = 500
default_pool_size = 100
server_tls_sslmode = ${serverTls ? 'require' : 'disable'}
client_tls_sslmode = require
client_tls_cert_file = ${certificate}
client_tls_key_file = ${key}
client_tls_protocols = secure
log_connections = 0
log_disconnections = 0
`,
    );
    const child = start('pgbouncer', [file], { uid: nobody, gid: nobody });
    await portOpen(listen);
    return { ...this.direct('tls', listen), name: 'pgbouncer-tls', pid: child.pid ?? 0 };
  }

  /** A resource of the gateway. `policy`: guards, a column mask and detectors apply to it. */
  addResource(name: string, port: number, options: { policy: boolean; tls?: boolean; responses?: string }): void {
    this.resources.push(`
apiVersion: sallyport.dev/v1
kind: Resource
metadata: { name: ${name}, labels: { policy: "${options.policy}", responses: ${options.responses ?? 'head'} } }
spec:
  protocol: postgres
  upstream: { address: "127.0.0.1:${port}", database: app, tls: { mode: ${options.tls ? 'require' : 'disable'} } }
  credential: bench-app
`);
  }

  /** Starts the gateway with all resources added so far. */
  async start(): Promise<void> {
    const policy = `
apiVersion: sallyport.dev/v1
kind: Credential
metadata: { name: bench-app }
spec: { username: app, password: { env: BENCH_PASSWORD } }
---
apiVersion: sallyport.dev/v1
kind: IdentityProvider
metadata: { name: bench }
spec: { oidc: { issuer: "${this.issuer.url}", audiences: [sallyport] } }
---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: bench }
spec: { members: { groups: [bench] }, resources: {} }
---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: sql-safety }
spec:
  resources: { labels: { policy: "true" } }
  rules:
    - { name: no-ddl, match: { statements: [drop, truncate, alter, grant, create-role] }, action: deny, message: "Schema changes go through migrations." }
---
apiVersion: sallyport.dev/v1
kind: DataPolicy
metadata: { name: pii }
spec:
  resources: { labels: { policy: "true" } }
  columns: [{ match: "public.customers.email", action: mask, as: partial }]
  detectors: [email, us-ssn, payment-card, aws-access-key, github-token, private-key, jwt, known-credentials]
---
apiVersion: sallyport.dev/v1
kind: AuditPolicy
metadata: { name: head }
spec: { resources: { labels: { responses: head } }, durability: strict, responses: head, headBytes: 65536 }
---
apiVersion: sallyport.dev/v1
kind: AuditPolicy
metadata: { name: none }
spec: { resources: { labels: { responses: none } }, durability: strict, responses: none }
`;
    this.gateway = await startGateway({
      manifests: { 'bench.yaml': [...this.resources, policy].join('\n---\n') },
      env: { BENCH_PASSWORD: this.postgres.app.password },
    });
  }

  async agent(resource: string): Promise<Subject> {
    if (!this.gateway) throw new Error('the gateway is not started');
    const token = await this.issuer.token({ sub: 'bench', groups: ['bench'], exp: Math.floor(Date.now() / 1000) + 7200 });
    return {
      name: 'agent',
      port: this.gateway.address(resource).port,
      env: { PGSSLMODE: 'require', PGPASSWORD: token },
      login: { user: 'bench', password: token, mode: 'tls' },
      pid: this.gateway.endpoints().pids['agent'] ?? 0,
    };
  }
}
