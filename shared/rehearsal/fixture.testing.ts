/** For tests: a policy over the fixture database of shared/sql/flow, whose `customers` has protected columns. */
import { type ParsedManifests, parseManifests } from '../policy/manifests.ts';
import catalog18 from '../sql/flow/fixtures/catalog-18.golden.json' with { type: 'json' };
import type { CatalogFile } from './catalog-file.ts';

export const CATALOG: CatalogFile = {
  format: 'sallyport-catalog',
  version: 1,
  resource: 'crm',
  database: 'app',
  readAt: '2026-01-01T00:00:00Z',
  serverVersion: catalog18.version,
  searchPath: ['public'],
  texts: catalog18.texts,
};

export const POLICY = `
apiVersion: sallyport.dev/v1
kind: Resource
metadata: { name: crm, labels: { env: prod } }
spec: { protocol: postgres, upstream: { address: "127.0.0.1:5432", database: app, tls: { mode: disable } }, credential: crm-app }
---
kind: Credential
metadata: { name: crm-app }
spec: { username: app, password: { env: CRM_PASSWORD } }
---
kind: ServiceAccount
metadata: { name: billing-bot }
spec: { groups: [bots], trusts: [{ issuer: "https://ci.example", subject: billing }] }
---
kind: Role
metadata: { name: support }
spec: { members: { groups: [support, privacy, bots] }, resources: { names: [crm] }, session: { maxDuration: 1h } }
---
kind: Guard
metadata: { name: safety }
spec:
  resources: {}
  rules:
    - { name: no-ddl, match: { statements: [ddl] }, action: deny, message: "Use migrations." }
    - { name: bots-wait, match: { statements: [delete] }, when: "principal.kind == 'workload'", action: hold, approval: { from: { groups: [dba] } } }
    - { name: large, match: { statements: [update], maxRows: 100 }, action: deny }
---
kind: DataPolicy
metadata: { name: pii }
spec:
  resources: {}
  columns:
    - { match: "public.customers.email", action: mask, as: partial, predicates: { equality: allow, other: deny } }
    - { match: "public.customers.ssn", action: deny }
  detectors: [email]
  exempt: { groups: [privacy] }
`;

export function parsedPolicy(text = POLICY): ParsedManifests {
  const parsed = parseManifests([{ path: 'policy.yaml', text }]);
  if (parsed.problems.length > 0) throw new Error(JSON.stringify(parsed.problems));
  return parsed;
}
