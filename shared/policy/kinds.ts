/**
 * What each kind of manifest may hold: fields, defaults, and the checks within one manifest. The one description from which
 * validation, completion and the reference page come. Checks between manifests are in cross-references.ts.
 */

import { DETECTOR_GROUPS, DETECTOR_NAMES } from '../detectors/names.ts';
import { isNetworkList } from '../identity/token-bounds.ts';
import { NETWORK_KINDS, PRIVILEGES } from '../shell/facts.ts';
import { customDetector, gitleaksConfig, ownDetectors } from './custom-detectors.ts';
import type {
  AccessPolicySpec,
  AccessRole,
  AuditPolicySpec,
  ChannelSpec,
  CredentialSpec,
  DataPolicySpec,
  GuardRule,
  GuardSpec,
  IdentityProviderSpec,
  Kind,
  ResourceSpec,
  RoleSpec,
  RoleSsh,
  ServiceAccountSpec,
  SpecOf,
} from './model.ts';
import { didYouMean } from './nearest.ts';
import { COLUMN_FORMS, FUNCTION_FORMS, isPattern, OBJECT_FORMS, parsePattern } from './patterns.ts';
import {
  defaulted,
  flag,
  INVALID,
  integer,
  listOf,
  mapOf,
  mapped,
  object,
  oneOf,
  optional,
  required,
  shortOrLong,
  shown,
  type Type,
  text,
} from './schema.ts';
import { STATEMENT_NAMES, statementKindsOf } from './statement-kinds.ts';
import { DEFAULT_AUDIT, DURABILITIES, MASK_KINDS, PREDICATE_ACTIONS, RESPONSE_CAPTURES } from './strictness.ts';
import {
  address,
  approval,
  awsRegion,
  certificate,
  condition,
  destination,
  duration,
  exactlyOne,
  groups,
  hostKey,
  isLoopback,
  issuer,
  labels,
  line,
  name,
  pattern,
  secret,
  selector,
  size,
  splitAddress,
  vaultPath,
  webAddress,
} from './values.ts';
import type { YamlNode } from './yaml-source.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const YEAR_MS = 365 * DAY_MS;

/** Public-key signatures only: with `none` or an HMAC anybody who knows the public key could make tokens. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const;
const DEFAULT_ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'] as const;

const SELECTOR = 'Which resources it is about: all that is given must match; `{}` is every resource.';

const resource: Type<ResourceSpec> = mapped(
  object({
    protocol: required(oneOf(['postgres', 'ssh']), 'What is spoken on the wire.'),
    upstream: required(
      object({
        address: required(address(), '`host:port` of the resource, as its agents reach it.'),
        database: optional(line(63), 'The database to open; absent: the one that the client asks for.'),
        tls: defaulted(
          object({
            mode: defaulted(
              oneOf(['disable', 'require', 'verify-full']),
              'verify-full',
              'verify-full',
              'How the connection is protected; `require` encrypts without checking who answers.',
            ),
            ca: optional(certificate(), 'The certificate authority to trust; absent: those of the system.'),
            serverName: optional(line(253), 'The name in the certificate, where it is not that of the address.'),
          }),
          { mode: 'verify-full' },
          '{ mode: verify-full }',
          'TLS to the resource.',
        ),
        hostKeys: optional(
          listOf(hostKey(), { min: 1, max: 16 }),
          'ssh: the host’s public keys as in known_hosts, `ssh-ed25519 AAAA…`; absent: the first that each agent sees is held.',
        ),
      }),
      'Where the resource is.',
    ),
    agents: defaulted(
      object({ labels: defaulted(labels(), {}, '{}', 'Labels that an agent must have.') }),
      { labels: {} },
      '{ labels: {} }',
      'Which agents serve it; none given: all.',
    ),
    listen: optional(address(), '`host:port` on which the agent listens for clients; absent: 127.0.0.1 and a free port.'),
    credential: required(name(), 'The Credential that the agent uses.'),
    unknown: defaulted(oneOf(['deny', 'hold']), 'deny', 'deny', 'What happens to a command that cannot be judged fully.'),
    approval: optional(approval(), 'Who releases it; needed with `unknown: hold`.'),
    onExpiry: optional(
      oneOf(['keep', 'drain', 'close']),
      'What becomes of live sessions when the agent’s lease ends while the control plane cannot be reached: `keep` them under the last policy (the default), end each once nothing runs in it (`drain`, after 15 minutes in any case), or end them at once (`close`). New sessions are refused.',
    ),
    publicKeys: optional(
      oneOf(['registered']),
      'ssh: public keys that people have registered (`sallyport ssh-key add`) open sessions; absent: none does.',
    ),
    tls: optional(
      object({
        certificate: required(certificate(), 'The certificate (and chain) that clients see.'),
        key: required(secret(), 'Its private key, PEM.'),
      }),
      'Your own serving certificate, in place of one from the control plane’s authority.',
    ),
  }),
  (spec, node, reading) => {
    if (spec.unknown === 'hold' && spec.approval === undefined)
      return reading.problem(node, '`unknown: hold` needs `approval`, which says who releases the command');
    if (spec.unknown !== 'hold' && spec.approval !== undefined) return reading.problem(node, '`approval` belongs to `unknown: hold`');
    const { tls, address: upstream, database, hostKeys } = spec.upstream;
    if (spec.protocol === 'ssh') {
      if (database !== undefined) return reading.problem(node, '`database` means nothing to ssh');
      if (hostKeys === undefined)
        reading.warn(node, 'without `hostKeys` an agent trusts the first key that it sees; `ssh-keyscan` prints them');
      return spec;
    }
    if (hostKeys !== undefined) return reading.problem(node, '`hostKeys` belongs to `protocol: ssh`');
    if (spec.publicKeys !== undefined) return reading.problem(node, '`publicKeys` belongs to `protocol: ssh`');
    const host = splitAddress(upstream)?.host ?? '';
    if (tls.mode !== 'verify-full' && !isLoopback(host)) {
      reading.warn(
        node,
        `\`tls.mode: ${tls.mode}\` lets others on the way to ${upstream} ${tls.mode === 'disable' ? 'read along' : 'pose as the resource'}; use verify-full`,
      );
    }
    if (tls.mode !== 'verify-full' && (tls.ca !== undefined || tls.serverName !== undefined)) {
      reading.warn(node, `\`ca\` and \`serverName\` are not used with \`tls.mode: ${tls.mode}\``);
    }
    return spec;
  },
);

const credential: Type<CredentialSpec> = mapped(
  object({
    username: optional(line(256), 'The user name at the resource; required but with `vaultDatabase`, where Vault makes it.'),
    password: optional(secret(), 'Where its password comes from.'),
    awsRdsIam: optional(
      object({
        region: required(awsRegion(), 'The region of the database.'),
        keys: optional(
          object({
            accessKeyId: required(line(128), 'The id of the access key of an IAM user.'),
            secretAccessKey: required(secret(), 'Its secret.'),
          }),
          'Keys of an IAM user to make tokens with; absent: those of the agent’s own role (environment, container, web identity, EC2 instance).',
        ),
      }),
      'postgres on AWS RDS or Aurora: the agent makes a token of IAM for each login, in place of a password. Needs `tls.mode: verify-full`.',
    ),
    vaultDatabase: optional(
      object({
        mount: defaulted(vaultPath(), 'database', 'database', 'Where the database engine is mounted.'),
        role: required(vaultPath(), 'The engine’s role.'),
      }),
      'postgres: a user that Vault or OpenBao makes and leases; the control plane asks it, renews the lease and takes another in time.',
    ),
    privateKey: optional(secret(), 'ssh: a private key without a passphrase, PEM or OpenSSH’s own format.'),
    certificate: optional(flag(), 'ssh: the agent issues itself a certificate for each session; `sallyport ssh authority` prints whose.'),
    dynamic: optional(
      object({ grants: required(listOf(line(63), { min: 1, max: 50 }), 'Roles of the database that the session’s role is a member of.') }),
      'postgres: each session gets a role of its own, dropped when it ends; `username` needs CREATEROLE and may grant these.',
    ),
  }),
  (spec, node, reading) => {
    const ways = (['password', 'awsRdsIam', 'vaultDatabase'] as const).filter(way => spec[way] !== undefined);
    if (ways.length > 1)
      return reading.problem(node, `the credential has ${ways.map(way => `\`${way}\``).join(' and ')}: each is in place of the other`);
    if (spec.vaultDatabase !== undefined) {
      for (const field of ['username', 'dynamic'] as const)
        if (spec[field] !== undefined)
          return reading.problem(node, `\`${field}\` means nothing with \`vaultDatabase\`: Vault makes the user`);
      return spec;
    }
    if (spec.username === undefined) return reading.problem(node, '`spec` has no `username`');
    return ways.length === 0 && spec.privateKey === undefined && spec.certificate !== true
      ? reading.problem(
          node,
          'the credential has no `password` (for postgres: `password`, `awsRdsIam` or `vaultDatabase`; for ssh: `password`, `privateKey` or `certificate: true`)',
        )
      : spec;
  },
);

/** Names of claims are the issuer's to choose; only what no name can be is refused. */
const claimProblem = (key: string): string | null =>
  key !== '' && key !== '__proto__' && key.length <= 256 && !/\p{Cc}/u.test(key) ? null : 'is no name of a claim';

const identityProvider: Type<IdentityProviderSpec> = mapped(
  object({
    oidc: optional(
      object({
        issuer: required(issuer(), 'The issuer’s URL, letter by letter as in the token’s `iss`.'),
        audiences: required(listOf(line(512), { min: 1 }), 'Values of `aud`, one of which a token must have.'),
        subjectClaim: defaulted(line(256), 'sub', 'sub', 'The claim that names the person.'),
        groupsClaim: defaulted(line(256), 'groups', 'groups', 'The claim with the groups; dots walk into nested claims.'),
        groupMappings: optional(
          listOf(
            object({
              claim: required(line(256), 'The claim; dots walk into nested claims.'),
              values: optional(mapOf(claimProblem, line(256)), 'Which of its values count, and the group that each stands for.'),
              prefix: optional(line(64), 'Put before each group, so that claims do not meet.'),
            }),
          ),
          'Groups by other claims than `groupsClaim`, besides those: each value of the claim is one.',
        ),
        algorithms: defaulted(
          listOf(oneOf(ALGORITHMS), { min: 1 }),
          [...DEFAULT_ALGORITHMS],
          `[${DEFAULT_ALGORITHMS.join(', ')}]`,
          'Signature algorithms that are accepted.',
        ),
        clockSkew: defaulted(duration(0, 5 * MINUTE_MS), 30_000, '30s', 'How far its clock may differ from the agent’s.'),
        clientId: optional(line(512), 'The public client that `sallyport login` uses, and the console where `console` is not given.'),
        console: optional(
          object({
            clientId: required(line(512), 'The client that the console signs people in with, by authorization code and PKCE.'),
            clientSecret: optional(secret(), 'Its secret; absent: a public client.'),
            scopes: defaulted(
              listOf(line(256), { min: 1 }),
              ['openid', 'profile', 'email', 'groups'],
              '[openid, profile, email, groups]',
              'Scopes that are asked for, of those that the provider knows.',
            ),
          }),
          'The console’s own client at the provider; its redirect address is the console’s `/auth/callback`.',
        ),
      }),
      'An OpenID Connect provider; either this or `saml`.',
    ),
    saml: optional(
      object({
        issuer: required(line(1024), 'The provider’s entity id, letter by letter.'),
        signInUrl: required(webAddress(), 'Where it takes the browser (HTTP-Redirect binding).'),
        certificates: required(
          listOf(certificate(), { min: 1 }),
          'Certificates (PEM) whose keys sign its assertions; several while it rotates. Only the keys count, not what else they say.',
        ),
        entityId: required(line(1024), 'Our entity id at the provider, which assertions must be for (audience).'),
        subjectAttribute: defaulted(line(256), '', 'the NameID', 'The attribute that names the person.'),
        groupsAttribute: defaulted(line(256), 'groups', 'groups', 'The attribute with the groups.'),
        clockSkew: defaulted(duration(0, 5 * MINUTE_MS), 30_000, '30s', 'How far its clock may differ from ours.'),
        decryptionKey: optional(
          secret(),
          'Private key (PEM) that assertions are encrypted to (AES-GCM, RSA-OAEP). With it, assertions that are not encrypted are refused.',
        ),
      }),
      'A SAML 2.0 provider, for the console; its assertions must be signed (RSA with SHA-256 or better). Its address for responses is the console’s `/auth/saml`.',
    ),
  }),
  (value, node, reading): IdentityProviderSpec | typeof INVALID => {
    const { oidc, saml } = value;
    if (exactlyOne(value, ['oidc', 'saml'], 'an identity provider', node, reading) === INVALID) return INVALID;
    if (oidc !== undefined) {
      const { clockSkew, ...rest } = oidc;
      return { oidc: { ...rest, clockSkewMs: clockSkew } };
    }
    if (saml === undefined) return INVALID;
    const { clockSkew, ...rest } = saml;
    return { saml: { ...rest, clockSkewMs: clockSkew } };
  },
);

const serviceAccount: Type<ServiceAccountSpec> = object({
  groups: defaulted(groups(0), [], '[]', 'Groups that it is in.'),
  trusts: defaulted(
    listOf(
      mapped(
        object({
          issuer: required(issuer(), 'Who issues its tokens; needs no IdentityProvider of its own.'),
          subject: optional(line(1024), 'The token’s `sub`, letter by letter.'),
          claims: optional(
            mapOf(
              claimProblem,
              shortOrLong(
                mapped(line(1024), value => [value]),
                listOf(line(1024), { min: 1 }),
              ),
            ),
            'Claims with the value, or values, of which the token must have one; all must fit. Dots walk into nested claims.',
          ),
          audience: optional(line(512), 'The token’s `aud`; absent: the audiences of the IdentityProvider, or `sallyport` without one.'),
        }),
        (trust, node, reading) =>
          trust.subject === undefined && Object.keys(trust.claims ?? {}).length === 0
            ? reading.problem(node, 'the trust is of everybody at the issuer; give `subject`, `claims` or both')
            : trust,
      ),
    ),
    [],
    '[]',
    'The tokens by which a workload is this account.',
  ),
  joins: optional(
    mapped(
      object({
        labels: required(labels(), 'Labels that the agents get: they decide which resources these serve. At least one.'),
        networks: optional(listOf(line(64), { min: 1 }), 'CIDR: where the agents must come from when they join. Absent: anywhere.'),
      }),
      (joins, node, reading) => {
        if (Object.keys(joins.labels).length === 0)
          return reading.problem(node, 'give at least one label: it decides what the agents serve');
        return joins.networks === undefined || isNetworkList(joins.networks)
          ? joins
          : reading.problem(node, '`networks` are 1 to 16 networks (CIDR) without bits behind their length');
      },
    ),
    'Lets a workload that is this account enrol agents, each of its tokens one. Absent: no.',
  ),
});

const roleSsh: Type<RoleSsh> = mapped(
  object({
    shell: optional(
      oneOf(['off', 'governed', 'recorded']),
      'Interactive shells: refused, judged line by line, or recorded only. Absent: `governed` for persons, `off` for workloads.',
    ),
    accounts: optional(listOf(line(64)), 'Accounts that may be asked for with `account+RESOURCE`, beside the credential’s own.'),
    sftp: optional(flag(), 'Whether files may be moved with sftp and scp. Absent: yes.'),
    forward: optional(listOf(destination()), '`host:port` with `*`, to which connections may be forwarded. Absent: none.'),
    remoteForward: optional(listOf(destination()), '`host:port` with `*`, on which the host may listen for the client. Absent: none.'),
    environment: optional(listOf(line(128)), 'Variables that the client may set beside `LANG` and `LC_*`; `*` at the end allowed.'),
    uploadMax: optional(size(Number.MAX_SAFE_INTEGER), 'The largest file that may be written by sftp.'),
    forceCommand: optional(line(4096), 'What the host runs whatever is asked for; goes into the certificate of `certificate: true`.'),
    fourEyes: optional(flag(), 'Whether sessions run only while somebody else watches them (`sallyport sessions watch`). Absent: no.'),
  }),
  ({ uploadMax, ...rest }) => ({ ...rest, ...(uploadMax === undefined ? {} : { uploadBytesMax: uploadMax }) }),
);

const role: Type<RoleSpec> = mapped(
  object({
    members: required(
      object({
        groups: defaulted(groups(0), [], '[]', 'Groups, of persons and of service accounts.'),
        serviceAccounts: defaulted(listOf(name()), [], '[]', 'Service accounts by name.'),
        principals: defaulted(listOf(line(256)), [], '[]', 'Persons by name (the provider’s `subjectClaim`).'),
      }),
      'Who has the role; one match is enough.',
    ),
    resources: required(selector(), SELECTOR),
    when: optional(condition('role'), 'A condition that must hold when the session begins.'),
    session: defaulted(
      object({
        maxDuration: optional(duration(1000, YEAR_MS), 'When the session is ended.'),
        idleTimeout: optional(duration(1000, YEAR_MS), 'After how long without a command it is ended.'),
      }),
      {},
      '{}',
      'Limits of a session.',
    ),
    budget: optional(
      object({
        rows: optional(integer(1, Number.MAX_SAFE_INTEGER), 'Rows that may be read.'),
        bytes: optional(size(Number.MAX_SAFE_INTEGER), 'Bytes of responses that may be read.'),
        per: defaulted(duration(MINUTE_MS, YEAR_MS), DAY_MS, '24h', 'The window that slides over them.'),
      }),
      'How much a principal may read from a resource.',
    ),
    requests: optional(
      object({
        by: required(object({ groups: required(groups(1), 'Groups whose persons may ask.') }), 'Who may ask for the role for a time.'),
        approval: required(approval(), 'Who gives it. `expiresIn` is how long the question waits.'),
        maxDuration: required(duration(60_000, 30 * DAY_MS), 'The longest time for which it is given.'),
      }),
      'The role may be asked for with `sallyport request`.',
    ),
    ssh: optional(roleSsh, 'What may be done over SSH beside commands.'),
  }),
  ({ members, resources, when, session, budget, requests, ssh }, node, reading) => {
    if (members.groups.length + members.serviceAccounts.length + members.principals.length === 0 && requests === undefined) {
      return reading.problem(node, '`members` names nobody; give `groups`, `serviceAccounts` or `principals`, or `requests`');
    }
    if (budget !== undefined && budget.rows === undefined && budget.bytes === undefined)
      return reading.problem(node, '`budget` needs `rows` or `bytes`');
    const { maxDuration, idleTimeout } = session;
    return {
      members,
      resources,
      ...(when === undefined ? {} : { when }),
      session: {
        ...(maxDuration === undefined ? {} : { maxDurationMs: maxDuration }),
        ...(idleTimeout === undefined ? {} : { idleTimeoutMs: idleTimeout }),
      },
      ...(budget === undefined ? {} : { budget: withoutPer(budget) }),
      ...(requests === undefined
        ? {}
        : { requests: { by: requests.by, approval: requests.approval, maxDurationMs: requests.maxDuration } }),
      ...(ssh === undefined ? {} : { ssh }),
    };
  },
);

function withoutPer({ per, ...limits }: { rows?: number; bytes?: number; per: number }): { rows?: number; bytes?: number; perMs: number } {
  return { ...limits, perMs: per };
}

const statement = text(
  value =>
    statementKindsOf(value) === undefined
      ? `has no statement ${shown(value)}${didYouMean(value, STATEMENT_NAMES) || '; the names are in docs/reference/facts.md'}`
      : null,
  STATEMENT_NAMES,
);

const guardRule: Type<GuardRule> = mapped(
  object({
    name: required(name(), 'Its name, unique in the guard; decisions are recorded as `guard/rule`.'),
    match: required(
      object({
        statements: optional(listOf(statement, { min: 1 }), 'Statement kinds, families or groups.'),
        objects: optional(listOf(pattern(OBJECT_FORMS), { min: 1 }), 'Tables and views, or columns of them, with `*`.'),
        functions: optional(listOf(pattern(FUNCTION_FORMS), { min: 1 }), 'Functions that are called, with `*`.'),
        where: optional(listOf(oneOf(['none', 'tautology']), { min: 1 }), 'How the weakest update, delete or merge is limited.'),
        multiStatement: optional(flag(), 'Whether one message holds several statements.'),
        maxRows: optional(integer(0, Number.MAX_SAFE_INTEGER), 'Matches when the planner expects more rows than this.'),
        programs: optional(listOf(line(256), { min: 1 }), 'ssh: programs that would run, by name or path, with `*`.'),
        arguments: optional(listOf(line(1024), { min: 1 }), 'ssh: an argument of one of them, with `*`.'),
        reads: optional(listOf(line(4096), { min: 1 }), 'ssh: paths that are read; `*` within a part, `**` over parts.'),
        writes: optional(listOf(line(4096), { min: 1 }), 'ssh: paths that are written, removed or changed.'),
        network: optional(listOf(oneOf(NETWORK_KINDS), { min: 1 }), 'ssh: what is done on the network.'),
        privilege: optional(listOf(oneOf(PRIVILEGES), { min: 1 }), 'ssh: power that it takes or gives.'),
        opaque: optional(flag(), 'Whether something about it cannot be known.'),
      }),
      'What the rule is about; all keys that are given must match.',
    ),
    when: optional(condition('guard'), 'A condition over the facts that must hold as well.'),
    action: required(oneOf(['allow', 'deny', 'hold']), 'What happens then.'),
    message: optional(line(500), 'What the client is told.'),
    approval: optional(approval(), 'Who releases it; needed with `hold`.'),
  }),
  (rule, node, reading) => {
    if (rule.action === 'hold' && rule.approval === undefined)
      return reading.problem(node, `rule ${shown(rule.name)} holds but has no \`approval\`, which says who releases the command`);
    if (rule.action !== 'hold' && rule.approval !== undefined)
      return reading.problem(node, `rule ${shown(rule.name)} has an \`approval\` but does not hold`);
    return rule;
  },
);

const guard: Type<GuardSpec> = mapped(
  object({
    resources: required(selector(), SELECTOR),
    priority: defaulted(integer(-1000, 1000), 0, '0', 'Rules of guards with a higher one are tried first.'),
    rules: required(listOf(guardRule, { min: 1 }), 'Tried by priority, then deny before hold before allow.'),
  }),
  (spec, node, reading) => {
    const seen = new Set<string>();
    for (const rule of spec.rules) {
      if (seen.has(rule.name)) return reading.problem(node, `two rules are called ${shown(rule.name)}`);
      seen.add(rule.name);
    }
    return spec;
  },
);

const predicateAction = oneOf(PREDICATE_ACTIONS);
const predicates = shortOrLong(
  mapped(predicateAction, action => ({ equality: action, other: action })),
  object({
    equality: defaulted(predicateAction, 'record', 'record', 'Comparisons for equality with a constant or a parameter.'),
    other: defaulted(
      predicateAction,
      'record',
      'record',
      'All else: ranges, patterns, orders, groups. Working values out row by row (docs/sql.md) is refused under `record`.',
    ),
  }),
);

const column: Type<DataPolicySpec['columns'][number]> = mapped(
  object({
    match: required(pattern(COLUMN_FORMS), '`schema.table.column`, with `*`.'),
    action: required(oneOf(['mask', 'deny', 'allow']), '`allow` lifts the wildcard rules of this policy for one column.'),
    as: optional(oneOf(MASK_KINDS), 'What `mask` makes of it; absent: `redact`.'),
    predicates: defaulted(
      predicates,
      { equality: 'record', other: 'record' },
      'record',
      'What may be asked of the column without seeing it.',
    ),
  }),
  ({ match, action, as, predicates: asked }, node, reading) => {
    if (as !== undefined && action !== 'mask') return reading.problem(node, '`as` belongs to `action: mask`');
    const parsed = parsePattern(match, COLUMN_FORMS);
    if (action === 'allow' && isPattern(parsed) && !parsed.exact)
      return reading.problem(node, `\`allow\` needs one column without \`*\`, not ${shown(match)}`);
    return { match, action, as: as ?? 'redact', predicates: asked };
  },
);

function fieldOf(node: YamlNode, key: string): YamlNode {
  return (node.type === 'mapping' ? node.entries.find(entry => entry.key === key)?.value : undefined) ?? node;
}

const DETECTORS_KNOWN = [...DETECTOR_NAMES, ...Object.keys(DETECTOR_GROUPS)];

/** Names are checked with the whole policy, which may have detectors of its own. */
const detector = text(undefined, DETECTORS_KNOWN);

const dataPolicy: Type<DataPolicySpec> = mapped(
  object({
    resources: required(selector(), SELECTOR),
    columns: defaulted(listOf(column), [], '[]', 'Rules about columns; the strictest of all that match wins.'),
    detectors: defaulted(listOf(detector), [], '[]', 'What is looked for in every text value.'),
    customDetectors: optional(listOf(customDetector(), { max: 1000 }), 'Detectors of your own; they are always on.'),
    gitleaks: optional(gitleaksConfig(), 'A gitleaks configuration whose rules become detectors of your own.'),
    detectorMask: defaulted(oneOf(MASK_KINDS), 'redact', 'redact', 'What a finding becomes.'),
    exempt: defaulted(
      object({ groups: defaulted(groups(0), [], '[]', 'Members of any of them are exempt.') }),
      { groups: [] },
      '{ groups: [] }',
      'To whom this policy does not apply.',
    ),
    approval: optional(approval(), 'Who releases a command that a column’s `predicates: hold` holds.'),
  }),
  ({ gitleaks, ...spec }, node, reading) => {
    const own = ownDetectors(spec.customDetectors ?? [], gitleaks ?? [], fieldOf(node, 'customDetectors'), reading);
    const known = [...DETECTORS_KNOWN, ...own.map(each => each.name)];
    const list = fieldOf(node, 'detectors');
    for (const [i, word] of spec.detectors.entries()) {
      if (known.includes(word)) continue;
      const hint = didYouMean(word, known) || '; the names are in docs/reference/detectors.md';
      return reading.problem(
        list.type === 'sequence' ? (list.items[i] ?? list) : list,
        `\`detectors\` has no detector ${shown(word)}${hint}`,
      );
    }
    if (spec.columns.length + spec.detectors.length + own.length === 0)
      return reading.problem(node, 'the policy protects nothing; give `columns` or `detectors`');
    const holds = spec.columns.some(each => each.predicates.equality === 'hold' || each.predicates.other === 'hold');
    if (holds && spec.approval === undefined)
      return reading.problem(node, '`predicates: hold` needs `approval`, which says who releases the command');
    if (!holds && spec.approval !== undefined) return reading.problem(node, '`approval` belongs to `predicates: hold`');
    return own.length === 0 ? spec : { ...spec, customDetectors: own };
  },
);

const auditPolicy: Type<AuditPolicySpec> = mapped(
  object({
    resources: required(selector(), SELECTOR),
    durability: defaulted(
      oneOf(DURABILITIES),
      DEFAULT_AUDIT.durability,
      DEFAULT_AUDIT.durability,
      '`strict`: no response before its record is on disk.',
    ),
    responses: defaulted(
      oneOf(RESPONSE_CAPTURES),
      DEFAULT_AUDIT.responses,
      DEFAULT_AUDIT.responses,
      'What is kept of responses, after masking.',
    ),
    headBytes: defaulted(size(16_777_216), DEFAULT_AUDIT.headBytes, '65536', 'How much of each with `responses: head`.'),
    retention: optional(
      duration(60 * MINUTE_MS, 100 * YEAR_MS),
      'How long sessions are kept after their end; the longest of several policies counts. Without any: for ever.',
    ),
    erasable: defaulted(
      flag(),
      false,
      'false',
      'Seals responses, bind parameters and terminal output under keys of their sessions, so that `sallyport evidence shred` can make those of a person unreadable. They cannot be searched.',
    ),
  }),
  ({ retention, erasable, ...spec }) => ({
    ...spec,
    ...(retention === undefined ? {} : { retentionMs: retention }),
    ...(erasable ? { erasable } : {}),
  }),
);

/** In order of power over others; `admin` includes all. */
export const ACCESS_ROLES: readonly AccessRole[] = ['viewer', 'approver', 'operator', 'auditor', 'admin'];

const accessPolicy: Type<AccessPolicySpec> = mapped(
  object({
    roles: required(
      listOf(oneOf(['viewer', 'approver', 'operator', 'auditor', 'admin']), { min: 1 }),
      'What the members may do in Sallyport itself; docs/guides/single-sign-on.md has the table.',
    ),
    members: required(
      object({
        groups: defaulted(groups(0), [], '[]', 'Groups, of persons and of service accounts.'),
        serviceAccounts: defaulted(listOf(name()), [], '[]', 'Service accounts by name; never approvers.'),
        principals: defaulted(listOf(line(256)), [], '[]', 'Persons by name (the provider’s `subjectClaim`).'),
      }),
      'Who has the roles; one match is enough.',
    ),
  }),
  (spec, node, reading) => {
    const { groups: named, serviceAccounts, principals } = spec.members;
    return named.length + serviceAccounts.length + principals.length > 0
      ? spec
      : reading.problem(node, '`members` names nobody; give `groups`, `serviceAccounts` or `principals`');
  },
);

const SLACK_API = 'https://slack.com/api/';

const channel: Type<ChannelSpec> = mapped(
  object({
    webhook: optional(
      object({
        url: required(issuer(), 'Where messages are posted.'),
        secret: required(secret(), 'What messages are signed with; shared with the far side.'),
      }),
      'Messages as JSON over HTTP.',
    ),
    slack: optional(
      object({
        channel: required(line(64), 'The Slack channel’s id, as `C0123456789`.'),
        token: required(secret(), 'The bot token of the Slack app (`xoxb-…`).'),
        signingSecret: required(secret(), 'The signing secret of the Slack app: what pressed buttons are signed with.'),
        url: defaulted(issuer(), SLACK_API, SLACK_API, 'Slack’s API, with a slash at its end.'),
      }),
      'Messages in Slack, with buttons for those who are signed in to the console.',
    ),
    groups: optional(groups(1), 'Only approvals that one of these groups answers. Absent: all.'),
  }),
  (spec, node, reading) =>
    (spec.webhook === undefined) === (spec.slack === undefined) ? reading.problem(node, 'give one of `webhook` and `slack`') : spec,
);

/** The schema of every kind's `spec`. */
export const SPECS: { readonly [K in Kind]: Type<SpecOf[K]> } = {
  Resource: resource,
  Credential: credential,
  IdentityProvider: identityProvider,
  ServiceAccount: serviceAccount,
  Role: role,
  Guard: guard,
  DataPolicy: dataPolicy,
  AuditPolicy: auditPolicy,
  AccessPolicy: accessPolicy,
  Channel: channel,
};

export const KINDS: readonly Kind[] = [
  'Resource',
  'Credential',
  'IdentityProvider',
  'ServiceAccount',
  'Role',
  'Guard',
  'DataPolicy',
  'AuditPolicy',
  'AccessPolicy',
  'Channel',
];

export function isKind(word: string): word is Kind {
  return Object.hasOwn(SPECS, word);
}
