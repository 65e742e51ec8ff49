/**
 * The database, manifests and people that most system tests share: a small shop with personal data and application secrets.
 * Every protected value is a canary: a text that may appear in the database and nowhere else.
 */
import type { PostgresServer } from './postgres.ts';

/** Values that must never leave the database through the gateway, nor lie in any file of it. */
export const canaries = {
  email: 'canary.ada@example.com',
  ssn: '536-90-4399',
  card: '4556 7375 8689 9855',
  passwordHash: 'canary-pbkdf2$9f8a7b6c5d',
  // Put together at run time: a repository should hold nothing that looks like a key.
  awsKey: ['AKIA', 'QX5ZT7CANARYKEY2'].join(''),
};

export const shopSql = `
set role app;
create table customers (id int primary key, name text not null, email text not null, ssn text, card text, balance numeric(12,2) not null, born date, notes text);
insert into customers select i, 'Customer ' || i, 'user' || i || '@example.org', null, null, i * 1.25, date '1970-01-01' + i, 'regular' from generate_series(2, 500) i;
insert into customers values (1, 'Ada', '${canaries.email}', '${canaries.ssn}', '${canaries.card}', 1.25, '1970-01-02', 'vip');
create table orders (id int primary key, customer_id int references customers, item text not null, quantity int not null, at timestamptz not null);
insert into orders select i, 1 + i % 500, 'item ' || i % 37, 1 + i % 5, timestamptz '2026-01-01 00:00Z' + i * interval '1 minute' from generate_series(1, 2000) i;
create table app_users (id int primary key, login text not null, password text not null);
insert into app_users values (1, 'ada', '${canaries.passwordHash}');
create table app_secrets (name text primary key, value text not null);
insert into app_secrets values ('aws', '${canaries.awsKey}');
create view customer_emails as select id, email from customers;
`;

export interface ShopOptions {
  issuer: string;
  listen?: string;
  upstreamTls?: 'disable' | 'require' | 'verify-full';
  extra?: string;
}

/** Manifests of a gateway in front of the shop: people in `support` see masked data, `privacy-office` sees all. */
export function shopManifests(postgres: PostgresServer, options: ShopOptions): string {
  const mode = options.upstreamTls ?? 'verify-full';
  const upstream = mode === 'verify-full' ? `{ mode: verify-full, ca: { file: "${postgres.ca}" } }` : `{ mode: ${mode} }`;
  return `
apiVersion: sallyport.dev/v1
kind: Resource
metadata: { name: crm, labels: { env: prod } }
spec:
  protocol: postgres
  upstream: { address: "${mode === 'verify-full' ? 'localhost' : '127.0.0.1'}:${postgres.port}", database: app, tls: ${upstream} }
${options.listen ? `  listen: "${options.listen}"\n` : ''}  credential: crm-app
---
apiVersion: sallyport.dev/v1
kind: Credential
metadata: { name: crm-app }
spec: { username: ${postgres.app.user}, password: { env: CRM_PASSWORD } }
---
apiVersion: sallyport.dev/v1
kind: IdentityProvider
metadata: { name: corp }
spec: { oidc: { issuer: "${options.issuer}", audiences: [sallyport], subjectClaim: email, groupsClaim: groups } }
---
apiVersion: sallyport.dev/v1
kind: ServiceAccount
metadata: { name: billing-bot }
spec: { groups: [bots], trusts: [{ issuer: "${options.issuer}", subject: "repo:acme/billing:ref:refs/heads/main" }] }
---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: support }
spec:
  members: { groups: [support, privacy-office], serviceAccounts: [billing-bot] }
  resources: { names: [crm], labels: { env: prod } }
  session: { maxDuration: 1h, idleTimeout: 10m }
---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: sql-safety }
spec:
  resources: { labels: { env: prod } }
  rules:
    - { name: no-ddl, match: { statements: [drop, truncate, alter, grant, create-role] }, action: deny, message: "Schema changes go through migrations." }
---
apiVersion: sallyport.dev/v1
kind: DataPolicy
metadata: { name: customer-pii }
spec:
  resources: { names: [crm] }
  columns:
    - { match: "public.customers.email", action: mask, as: partial }
    - { match: "public.customers.ssn", action: mask, as: redact }
    - { match: "public.app_users.password", action: deny }
  detectors: [email, us-ssn, payment-card, aws-access-key, github-token, private-key, jwt, known-credentials]
  exempt: { groups: [privacy-office] }
---
apiVersion: sallyport.dev/v1
kind: AuditPolicy
metadata: { name: default }
spec: { resources: {}, durability: strict, responses: head, headBytes: 65536 }
${options.extra ?? ''}`;
}

/** Claims of the people that the tests play. */
export const people = {
  support: { sub: 'u-1', email: 'sam@example.com', groups: ['support'] },
  privacy: { sub: 'u-2', email: 'pia@example.com', groups: ['privacy-office'] },
  stranger: { sub: 'u-3', email: 'sid@example.com', groups: ['sales'] },
  bot: { sub: 'repo:acme/billing:ref:refs/heads/main' },
};
