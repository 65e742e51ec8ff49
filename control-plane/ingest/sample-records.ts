/**
 * Seeded sessions for tests and measurements: the same seed gives the same records, byte for byte. Only tests import this.
 */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { Decision, PrincipalKind, RecordBatchSchema, RecordSchema, Status } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';

/** Numbers in [0, 1) from a seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

type Body = MessageInitShape<typeof RecordSchema>['body'];

export interface SampleSession {
  sessionId: string;
  principal: string;
  /** Encoded, in order of seq. */
  records: Uint8Array[];
  /** What the views must say in the end, by seq. */
  commands: Map<number, string>;
  refused: boolean;
  ended: boolean;
}

const start = BigInt(Date.UTC(2026, 10, 1)) * 1000n;
const people = ['ana@example.com', 'ben@example.com', 'cleo@example.com', 'billing-bot'];
const texts = [
  'SELECT id, email FROM customers WHERE id = 42',
  "UPDATE orders SET state = 'sent' WHERE id = 7",
  'SELECT count(*) FROM orders',
  'DROP TABLE customers',
];

/** One session: its start, commands with and without answers, its end. */
export function sampleSession(random: () => number, number: number, commandsMax: number): SampleSession {
  const sessionId = `01930000-0000-7000-8000-${number.toString(16).padStart(12, '0')}`;
  const name = people[Math.floor(random() * people.length)] ?? 'ana@example.com';
  const principal = {
    kind: name === 'billing-bot' ? PrincipalKind.WORKLOAD : PrincipalKind.PERSON,
    name,
    issuer: 'https://idp.example',
    subject: `sub-${name}`,
    groups: ['support', 'eu'],
    delegation: [],
  };
  // Over the turn of a month, so that a session lies in two partitions.
  let at = start + BigInt(number) * 60_000_000n + BigInt(Math.floor(random() * 2_500_000)) * 1_000_000n;
  const session: SampleSession = { sessionId, principal: name, records: [], commands: new Map(), refused: false, ended: false };
  const write = (body: Body) => {
    at += BigInt(1 + Math.floor(random() * 5_000_000));
    const message = create(RecordSchema, {
      sessionId,
      seq: BigInt(session.records.length),
      atUnixUs: at,
      body: body ?? { case: undefined },
    });
    session.records.push(toBinary(RecordSchema, message));
    return session.records.length - 1;
  };
  if (random() < 0.1) {
    write({
      case: 'sessionRefused',
      value: {
        resource: 'crm',
        protocol: 'postgres',
        agent: 'agent-1',
        clientAddress: '127.0.0.1:50000',
        code: 'TOKEN_EXPIRED',
        reason: 'expired an hour ago',
        told: '28P01',
      },
    });
    session.refused = true;
    return session;
  }
  write({
    case: 'sessionStarted',
    value: {
      resource: random() < 0.5 ? 'crm' : 'billing',
      protocol: 'postgres',
      principal,
      agent: 'agent-1',
      clientAddress: '127.0.0.1:50000',
      role: 'support',
      policyVersion: 3n,
      client: { user: 'x', application_name: 'psql' },
      tokenId: `jti-${number}`,
      durability: 'strict',
    },
  });
  const open: number[] = [];
  const answer = (seq: number) => {
    const failed = random() < 0.1;
    write({
      case: 'response',
      value: {
        commandSeq: BigInt(seq),
        status: failed ? Status.ERROR : Status.OK,
        errorCode: failed ? '42P01' : '',
        tag: failed ? '' : 'SELECT 3',
        rows: 3n,
        bytes: 120n,
        maskedValues: 3n,
        dataClasses: ['email', 'column:public.customers.email'],
        durationUs: 900n,
        head: Buffer.from('1\ta***@example.com\n'),
        sha256: Buffer.alloc(32, seq),
        columns: ['id', 'email'],
      },
    });
    session.commands.set(seq, failed ? 'error' : 'ok');
  };
  const count = Math.floor(random() * commandsMax);
  for (let made = 0; made < count; made += 1) {
    const text = texts[Math.floor(random() * texts.length)] ?? '';
    const denied = text.startsWith('DROP');
    const seq = write({
      case: 'command',
      value: {
        kind: 'query',
        text,
        fingerprint: `fp-${text.length}`,
        statements: [text.slice(0, 6).toLowerCase()],
        objects: ['public.customers'],
        columnsRead: ['public.customers.id', 'public.customers.email'],
        parameters: ['42'],
        decision: denied ? Decision.DENY : Decision.ALLOW,
        rule: denied ? 'sql-safety/no-ddl' : '',
        reason: denied ? 'Schema changes go through migrations.' : '',
        policyVersion: 3n,
        textSha256: Buffer.alloc(32, 7),
        database: 'crm',
      },
    });
    session.commands.set(seq, denied ? 'refused' : 'running');
    if (!denied) open.push(seq);
    while (open.length > 0 && random() < 0.7) answer(open.shift() ?? 0);
  }
  if (random() < 0.8) {
    write({
      case: 'sessionEnded',
      value: { reason: 'client closed', commands: BigInt(count), bytesToClient: 1000n, bytesToUpstream: 200n },
    });
    session.ended = true;
    for (const seq of open) session.commands.set(seq, 'aborted');
  }
  return session;
}

/** As a spool ships them. */
export function batchOf(spoolId: string, firstIndex: number, records: readonly Uint8Array[]): Uint8Array {
  return toBinary(
    RecordBatchSchema,
    create(RecordBatchSchema, { agentId: 'agent-1', spoolId, firstIndex: BigInt(firstIndex), records: [...records] }),
  );
}
