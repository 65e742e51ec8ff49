/** What the API takes and gives, as TypeBox schemas: types, validation and OpenAPI from one text. */
import { type Static, Type } from 'typebox';

/** Unknown fields are refused. */
const closed = { additionalProperties: false } as const;

export const Kind = Type.Enum(
  ['Resource', 'Credential', 'IdentityProvider', 'ServiceAccount', 'Role', 'Guard', 'DataPolicy', 'AuditPolicy', 'AccessPolicy', 'Channel'],
  {
    description: 'Kind of manifest',
  },
);
export const Name = Type.String({ minLength: 1, maxLength: 253 });
export const Time = Type.String({ format: 'date-time' });
export const Labels = Type.Record(Type.String({ maxLength: 63 }), Type.String({ maxLength: 63 }), { maxProperties: 64 });

export const ProblemPlace = Type.Object({ file: Type.String(), line: Type.Integer(), column: Type.Integer(), message: Type.String() });

export const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String({ description: 'Stable; programs match on it.' }),
    problems: Type.Optional(Type.Array(ProblemPlace)),
  },
  { description: 'RFC 9457 problem document (application/problem+json)' },
);

export const ApplyRequest = Type.Object(
  {
    manifests: Type.Array(
      Type.Object(
        {
          file: Type.String({
            minLength: 1,
            maxLength: 4096,
            description: 'Path on the control plane’s machine; relative sources start at its folder.',
          }),
          text: Type.String({ maxLength: 1_000_000, description: 'YAML, one or more documents.' }),
        },
        closed,
      ),
      { minItems: 1, maxItems: 1000 },
    ),
    dryRun: Type.Optional(Type.Boolean({ description: 'Only say what would change.' })),
    reason: Type.Optional(Type.String({ maxLength: 500, description: 'Why, for the record.' })),
  },
  closed,
);

export const Change = Type.Object({
  kind: Kind,
  name: Name,
  change: Type.Enum(['created', 'configured', 'unchanged', 'deleted']),
  diff: Type.Array(Type.Object({ path: Type.String(), before: Type.Optional(Type.Unknown()), after: Type.Optional(Type.Unknown()) })),
});

export const ApplyResponse = Type.Object({
  changes: Type.Array(Change),
  warnings: Type.Array(ProblemPlace),
  etag: Type.Optional(Type.String({ description: 'Of a rehearsal: for If-Match' })),
});

export const ManifestDocument = Type.Object({
  apiVersion: Type.String(),
  kind: Kind,
  metadata: Type.Object({ name: Name, labels: Type.Record(Type.String(), Type.String()) }),
  spec: Type.Unknown({
    description: 'As validated: durations in milliseconds, sizes in bytes, defaults filled in. Values of secrets are left out.',
  }),
  status: Type.Object({ version: Type.Integer(), updatedAt: Time, author: Type.String() }),
});

export const TicketRequest = Type.Object(
  {
    resource: Name,
    expiresInSeconds: Type.Optional(Type.Integer({ minimum: 10, maximum: 3600, default: 900 })),
    role: Type.Optional(Type.String({ minLength: 1, maxLength: 253, description: 'The one role that it is for' })),
    networks: Type.Optional(
      Type.Array(Type.String({ maxLength: 64 }), { minItems: 1, maxItems: 16, description: 'CIDR: where it is good' }),
    ),
    certificateSha256: Type.Optional(
      Type.String({ maxLength: 64, description: 'SHA-256 (base64url) of the client certificate that it is good with' }),
    ),
    actor: Type.Optional(
      Type.String({ minLength: 1, maxLength: 253, description: 'The service account that acts for the caller with it' }),
    ),
  },
  closed,
);
export const TicketResponse = Type.Object({
  ticket: Type.String({ description: 'Use it as the password.' }),
  id: Type.String({ description: 'For revoking it' }),
  expiresAt: Time,
  resource: Name,
  address: Type.Optional(Type.String({ description: 'host:port; absent while no agent serves the resource.' })),
});

export const InvitationRequest = Type.Object(
  {
    labels: Type.Optional(Labels),
    everyResource: Type.Optional(
      Type.Boolean({ description: 'The agent serves every resource, whatever labels those ask of their agents.' }),
    ),
    networks: Type.Optional(
      Type.Array(Type.String({ maxLength: 64 }), { minItems: 1, maxItems: 16, description: 'CIDR; who joins must come from one of them' }),
    ),
    expiresInSeconds: Type.Optional(Type.Integer({ minimum: 10, maximum: 604_800, default: 3600 })),
  },
  closed,
);
export const InvitationResponse = Type.Object({
  token: Type.String({ description: 'For `sallyport agent --join`. Works once; it is not shown again.' }),
  agentId: Type.String(),
  expiresAt: Time,
});

export const Agent = Type.Object({
  id: Type.String(),
  name: Type.String({ description: 'Empty until it has joined.' }),
  status: Type.Enum(['invited', 'online', 'offline', 'revoked']),
  labels: Type.Record(Type.String(), Type.String()),
  version: Type.String(),
  joinedAt: Type.Optional(Time),
  certificateExpiresAt: Type.Optional(Time),
  invitationExpiresAt: Type.Optional(Time),
  connectedAt: Type.Optional(Time),
  lastSeenAt: Type.Optional(Time),
  address: Type.Optional(Type.String()),
  leaseVersion: Type.Optional(Type.Integer()),
  sessions: Type.Integer(),
  health: Type.Optional(Type.Enum(['healthy', 'problems', 'draining'], { description: 'Of one that is online.' })),
  leaseIssuedAt: Type.Optional(Time),
  roundTripMs: Type.Optional(Type.Number({ description: 'From the control plane to the agent and back.' })),
  spoolBytes: Type.Optional(Type.Integer()),
  memoryBytes: Type.Optional(Type.Integer()),
  spoolRecords: Type.Optional(Type.Integer({ description: 'Records that it has not delivered yet.' })),
  listeners: Type.Record(Type.String(), Type.String()),
  problems: Type.Record(Type.String(), Type.String()),
  revokedBecause: Type.Optional(Type.String()),
  copySeenAt: Type.Optional(
    Type.String({ format: 'date-time', description: 'A second process came with its certificate while it was there.' }),
  ),
  copySeenFrom: Type.Optional(Type.String({ description: 'The address that it came from.' })),
});

export const ReasonRequest = Type.Object({ reason: Type.Optional(Type.String({ maxLength: 500 })) }, closed);

export const Resource = Type.Object({
  name: Name,
  protocol: Type.String(),
  labels: Type.Record(Type.String(), Type.String()),
  database: Type.Optional(Type.String()),
  address: Type.Optional(Type.String({ description: 'Where clients connect; absent while no agent serves it.' })),
  addresses: Type.Array(Type.String()),
  problems: Type.Array(Type.Object({ agent: Type.String(), reason: Type.String() }), {
    description: 'Why agents do not serve it; for the administrator.',
  }),
});

const MomentOrNull = Type.Union([Time, Type.Null()]);

export const CredentialSource = Type.Object({
  credential: Name,
  kinds: Type.Array(Type.String({ description: 'Vault, AWS Secrets Manager, file, Vault database' })),
  checkedAt: Time,
  problem: Type.Union([Type.String(), Type.Null()], { description: 'Why it could not be read; agents keep the one that they have' }),
  since: MomentOrNull,
  leaseEndsAt: Type.Union([Time, Type.Null()], { description: 'Of the user that Vault has leased, unless it is renewed' }),
});

export const ControlEdition = Type.Object({
  inForce: Type.Integer({ description: 'Which events may be in the control log.' }),
  known: Type.Integer({ description: 'The newest that this version knows.' }),
});

export const Status = Type.Object({
  version: Type.String(),
  startedAt: Time,
  controlPosition: Type.String({ description: 'Offset of the next control event.' }),
  controlEdition: ControlEdition,
  recordsPosition: Type.String({ description: 'Offset of the next entry of records.' }),
  agents: Type.Object({ online: Type.Integer(), enrolled: Type.Integer() }),
  liveSessions: Type.Integer(),
  store: Type.Object({
    status: Type.Enum(['up', 'down', 'none']),
    detail: Type.Optional(Type.String()),
  }),
});

export type Agent = Static<typeof Agent>;
export type Resource = Static<typeof Resource>;

export const Session = Type.Object({
  sessionId: Type.String(),
  live: Type.Boolean(),
  status: Type.String({ description: 'live, ended, refused, …' }),
  resource: Type.String(),
  protocol: Type.Optional(Type.String({ description: 'Once its first record is in the store.' })),
  principal: Type.String(),
  principalKind: Type.String(),
  clientAddress: Type.String(),
  agent: Type.String(),
  role: Type.String(),
  startedAt: Time,
  endedAt: Type.Union([Time, Type.Null()]),
  endReason: Type.Optional(Type.String({ description: 'Why it ended, or was refused.' })),
  code: Type.Optional(Type.String({ description: 'Stable code of a refusal.' })),
  tokenId: Type.Optional(Type.String({ description: '`jti` of the token or ticket.' })),
  groups: Type.Optional(Type.Array(Type.String())),
  delegation: Type.Optional(Type.Array(Type.String())),
  commands: Type.Integer(),
  denied: Type.Integer(),
  maskedValues: Type.Integer(),
});
export type Session = Static<typeof Session>;

export const RecordedCommand = Type.Object({
  sessionId: Type.String(),
  seq: Type.Integer(),
  at: Time,
  resource: Type.String(),
  principal: Type.String(),
  kind: Type.String(),
  text: Type.String({ description: 'Masked.' }),
  statements: Type.Array(Type.String()),
  objects: Type.Array(Type.String()),
  decision: Type.String(),
  rule: Type.String(),
  reason: Type.String(),
  status: Type.String(),
  errorCode: Type.String(),
  rows: Type.Integer(),
  bytes: Type.Integer(),
  maskedValues: Type.Integer(),
  dataClasses: Type.Array(Type.String()),
  durationUs: Type.Integer(),
  approvers: Type.Array(Type.String()),
  output: Type.Optional(
    Type.Object(
      {
        seq: Type.Integer({ description: 'The record of the output.' }),
        offsetMs: Type.Integer({ description: 'When it was shown, in the recording of this command.' }),
        text: Type.String({ description: 'What was shown around it.' }),
      },
      { description: 'Where its output first has what `output:` asked for.' },
    ),
  ),
});
export type RecordedCommand = Static<typeof RecordedCommand>;

/** What the heads of answers are shown as: shared/wire/postgres-answer.ts. */
const Answer = Type.Object(
  {
    tables: Type.Array(
      Type.Object({
        columns: Type.Array(Type.String()),
        rows: Type.Array(Type.Array(Type.Union([Type.String(), Type.Null()]))),
        tag: Type.String(),
      }),
    ),
    notes: Type.Array(Type.Object({ severity: Type.String(), code: Type.String(), message: Type.String() })),
    whole: Type.Boolean(),
  },
  { description: 'The head of the answer as tables, where the protocol has them.' },
);

export const CommandDetails = Type.Object({
  ...RecordedCommand.properties,
  protocol: Type.String(),
  parameters: Type.Array(Type.String()),
  columnsRead: Type.Array(Type.String()),
  inferences: Type.Array(Type.String()),
  fingerprint: Type.String(),
  errorText: Type.String(),
  tag: Type.String(),
  approvalId: Type.String(),
  responseColumns: Type.Array(Type.String()),
  responseHead: Type.String({ description: 'As the client received it: masked. JSON lines of rows, or what the protocol gave.' }),
  responseHeadTruncated: Type.Boolean(),
  contentsGone: Type.Optional(
    Type.String({
      description: 'Why parameters, error text and what came back are not here: shredded (when, by whom), or never recorded.',
    }),
  ),
  answer: Type.Optional(Answer),
  responseSha256: Type.String(),
  textTruncated: Type.Boolean(),
  policyVersion: Type.Integer(),
  heldUs: Type.Integer(),
});
export type CommandDetails = Static<typeof CommandDetails>;

/** How the history came by: without the store there are live sessions only. */
export const StoreAnswer = Type.Object({
  status: Type.Enum(['up', 'down', 'none']),
  detail: Type.Optional(Type.String()),
});

export const HistoryQuery = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 50 })),
    resource: Type.Optional(Name),
    principal: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
    before: Type.Optional(Time),
  },
  closed,
);

export const SessionsQuery = Type.Object(
  { ...HistoryQuery.properties, live: Type.Optional(Type.Boolean({ description: 'Only those that are open now.' })) },
  closed,
);

const RowSample = Type.Object({
  columns: Type.Array(Type.String()),
  rows: Type.Array(Type.Array(Type.Union([Type.String(), Type.Null()]))),
});

export const Preview = Type.Object({
  rowCount: Type.Union([Type.Integer(), Type.Null()], {
    description: 'Rows that the command changes; null: not known, see `unavailable`.',
  }),
  unavailable: Type.String({ description: 'Why the effect is not known; empty: it is.' }),
  before: Type.Union([RowSample, Type.Null()], { description: 'Some of the rows as they are, masked.' }),
  after: Type.Union([RowSample, Type.Null()], { description: 'Some of the rows as they would be, masked.' }),
  notes: Type.Array(Type.String()),
  limits: Type.Object({
    rows: Type.Integer(),
    valueCharacters: Type.Integer(),
    lockTimeoutMs: Type.Integer(),
    statementTimeoutMs: Type.Integer(),
  }),
  replaces: Type.Optional(
    Type.Object(
      { approvalId: Type.String(), rowCount: Type.Integer() },
      { description: 'The approval for another number of rows, of which nothing was kept.' },
    ),
  ),
});

export const AccessRequest = Type.Object(
  {
    resource: Name,
    seconds: Type.Integer({ minimum: 60, maximum: 2_592_000, description: 'For how long, from the approval on.' }),
    reason: Type.String({ minLength: 1, maxLength: 1000, description: 'For those who are asked, and for the record.' }),
    role: Type.Optional(Name),
  },
  closed,
);

const AccessAsked = Type.Object({
  role: Type.String(),
  seconds: Type.Integer(),
  reason: Type.String(),
  until: Type.Union([Time, Type.Null()], { description: 'When the access that was given ends; null: it was not given.' }),
  ended: Type.Union([Type.Object({ why: Type.Enum(['revoked', 'expired']), by: Type.String(), reason: Type.String() }), Type.Null()]),
});

export const Approval = Type.Object({
  id: Type.String(),
  kind: Type.Enum(['command', 'access']),
  access: Type.Union([AccessAsked, Type.Null()], { description: 'What is asked for, when it is access.' }),
  state: Type.Enum(['pending', 'approved', 'denied', 'expired', 'withdrawn']),
  resource: Type.String(),
  sessionId: Type.String(),
  commandSeq: Type.Integer(),
  rule: Type.String(),
  message: Type.String({ description: 'What the rule says to whoever is held, as it is now; empty: nothing, or the rule is gone.' }),
  fingerprint: Type.String({ description: 'Commands that differ in literals alone share it; empty: there is none.' }),
  text: Type.String({ description: 'The command, masked.' }),
  principal: Type.Object({ kind: Type.String(), name: Type.String(), delegation: Type.Array(Type.String()) }),
  groups: Type.Array(Type.String(), { description: 'Each of them must approve.' }),
  quorum: Type.Integer({ description: 'Distinct people of each group.' }),
  parameters: Type.Array(Type.String(), { description: 'Bound values, masked.' }),
  preview: Type.Union([Preview, Type.Null()], { description: 'What it would change; null: the rule does not ask for that.' }),
  expiresAt: Time,
  approvedBy: Type.Array(Type.String(), { description: 'Who has approved, or denied, so far.' }),
  reason: Type.String(),
});
export type Approval = Static<typeof Approval>;
