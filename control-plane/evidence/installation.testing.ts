/**
 * An installation's evidence over weeks, made in a moment: a control log with times of its own, agents that sign, sessions with records,
 * and the real exporter over them, with lists where the log and the session store are. For what needs days to come about; what a real
 * gateway records is in e2e/evidence.test.ts.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ControlEventSchema } from '@sallyport/proto/gen/sallyport/control/v1/control_pb.js';
import { RecordSchema } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { sha256, signEd25519 } from '@sallyport/shared/crypto/sha256.ts';
import {
  encodeCheckpoint,
  encodeHead,
  encodeStatement,
  type Head,
  headsRoot,
  headTag,
  signedBytes,
} from '@sallyport/shared/evidence/checkpoint.ts';
import {
  encodeCommand,
  encodeRecordWithBody,
  encodeResponse,
  encodeSessionEnded,
  encodeSessionStarted,
} from '@sallyport/shared/records/encode.ts';
import type { TimestampedRoot } from '../aggregates/timestamp.ts';
import { ControlTree } from './control-tree.ts';
import { EvidenceExport, type EvidenceScope } from './evidence-export.ts';

export type Line = Record<string, unknown> & { type: string };

const CHECKPOINT_FIELD = 19;

interface StoredRecord {
  sessionId: string;
  seq: number;
  atMs: number;
  type: string;
  encoded: Uint8Array;
}

interface StoredSession {
  id: string;
  person: string;
  resource: string;
}

interface Agent {
  id: string;
  ledger: string;
  key: KeyObject;
  number: number;
  previous: Uint8Array;
}

export class Installation {
  readonly controlKey: KeyObject;
  readonly tree: ControlTree;
  nowMs: number;
  /** Heads that were time-stamped. */
  readonly stamps: TimestampedRoot[] = [];
  readonly #entries: Uint8Array[] = [];
  readonly #versions = new Map<string, bigint>();
  readonly #records: StoredRecord[] = [];
  readonly #sessions: StoredSession[] = [];
  readonly #known: Record<string, { agentId: string; number: number; statement: string; conflict: string | null }> = {};

  constructor(atMs: number) {
    this.nowMs = atMs;
    const pair = generateKeyPairSync('ed25519');
    this.controlKey = pair.privateKey;
    this.tree = new ControlTree(pair.privateKey, rawPublic(pair.publicKey), () => this.nowMs);
  }

  /** An entry of the control log; `version`: it expects another than its stream has, and is not accepted. */
  log(stream: string, type: string, payload: unknown, version?: bigint): void {
    const atUnixUs = BigInt(this.nowMs) * 1000n;
    const bytes = new TextEncoder().encode(JSON.stringify(payload));
    const next = this.#versions.get(stream) ?? 0n;
    const expectedVersion = version ?? next;
    if (expectedVersion === next) this.#versions.set(stream, next + 1n);
    const fields = { eventId: `event-${this.#entries.length}`, stream, expectedVersion, type, payload: bytes, atUnixUs, author: 'system' };
    const value = toBinary(ControlEventSchema, create(ControlEventSchema, fields));
    this.#entries.push(value);
    const rest = { schema: 1, authorAddress: '', reason: '', requestId: '' };
    this.tree.take(value, { ...fields, ...rest, payload });
  }

  agent(name: string): Agent {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const id = `agent-${name}`;
    const signingKey = Buffer.from(rawPublic(publicKey)).toString('base64');
    this.log(`agent/${id}`, 'AgentJoined', { details: { name, keys: { signingKey } } });
    return { id, ledger: `${name}-spool`, key: privateKey, number: 0, previous: new Uint8Array(0) };
  }

  /** A session of four records, ended, in a checkpoint of its own, which is logged. @returns its id. */
  session(agent: Agent, person: string, resource: string, text = 'select 1', commands = 1): string {
    const head = this.record(person, resource, text, commands);
    this.checkpoint(agent, [head]);
    return head.sessionId;
  }

  /** @param atMs what the records say of the time; default: when the session begins. */
  record(person: string, resource: string, text: string, commands = 1, atMs = this.nowMs): Head {
    const time = this.nowMs.toString(16).padStart(12, '0');
    const sessionId = `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${String(this.#sessions.length).padStart(12, '0')}`;
    this.#sessions.push({ id: sessionId, person, resource });
    const principal = { kind: 'person' as const, name: person, issuer: 'https://idp.example', subject: person, groups: [], delegation: [] };
    const records: Uint8Array[] = [];
    const add = (
      type: string,
      encode: (head: { sessionId: string; seq: number; atUnixUs: number; previousHash?: Uint8Array }) => Uint8Array,
    ) => {
      const last = records.at(-1);
      const previous = last === undefined ? {} : { previousHash: sha256(last) };
      const encoded = Uint8Array.from(encode({ sessionId, seq: records.length, atUnixUs: atMs * 1000, ...previous }));
      this.#records.push({ sessionId, seq: records.length, atMs: this.nowMs, type, encoded });
      records.push(encoded);
    };
    add('session_started', at => encodeSessionStarted(at, { resource, protocol: 'postgres', principal, agent: 'a', role: 'r' }));
    for (let each = 0; each < commands; each++) {
      const commandSeq = records.length;
      add('command', at => encodeCommand(at, { kind: 'query', text, decision: 'allow' }));
      add('response', at => encodeResponse(at, { commandSeq, status: 'ok', tag: 'SELECT 1', rows: 1, bytes: 60 }));
    }
    add('session_ended', at => encodeSessionEnded(at, { reason: 'client closed', commands: 1 }));
    return {
      sessionId,
      records: records.length,
      hash: sha256(records.at(-1) as Uint8Array),
      ended: true,
      principalTag: headTag('principal', sessionId, person, sha256),
      resourceTag: headTag('resource', sessionId, resource, sha256),
    };
  }

  /** Where a session stood after so many records. */
  headAt(sessionId: string, records: number): Head {
    const session = this.#sessions.find(({ id }) => id === sessionId);
    const last = this.#records.find(each => each.sessionId === sessionId && each.seq === records - 1);
    if (session === undefined || last === undefined) throw new Error(`session ${sessionId} has no ${records} records`);
    return {
      sessionId,
      records,
      hash: sha256(last.encoded),
      ended: last.type === 'session_ended',
      principalTag: headTag('principal', sessionId, session.person, sha256),
      resourceTag: headTag('resource', sessionId, session.resource, sha256),
    };
  }

  /** A record, base64, with another time in it. */
  restamped(record: string, atMs: number): string {
    const message = fromBinary(RecordSchema, Buffer.from(record, 'base64'));
    return Buffer.from(toBinary(RecordSchema, { ...message, atUnixUs: BigInt(atMs) * 1000n })).toString('base64');
  }

  checkpoint(agent: Agent, heads: readonly Head[], isLogged = true): void {
    const encoded = heads.map(encodeHead);
    const { id: agentId, ledger, number, previous } = agent;
    const atUnixUs = this.nowMs * 1000;
    const root = headsRoot(encoded, sha256);
    const statement = encodeStatement({ agentId, ledger, number, atUnixUs, previous, headsRoot: root, heads: encoded.length });
    const signature = signEd25519(agent.key, signedBytes(statement));
    const record = encodeRecordWithBody(
      { sessionId: ledger, seq: number, atUnixUs },
      CHECKPOINT_FIELD,
      encodeCheckpoint(statement, signature, encoded),
    );
    this.#records.push({ sessionId: ledger, seq: number, atMs: this.nowMs, type: 'checkpoint', encoded: Uint8Array.from(record) });
    agent.number++;
    agent.previous = sha256(statement);
    if (!isLogged) return;
    const text = Buffer.from(statement).toString('base64');
    const logged = { agentId, ledger, number, statement: text, signature: Buffer.from(signature).toString('base64') };
    this.log('checkpoint/log', 'CheckpointsLogged', { checkpoints: [logged], conflicts: [] });
    this.#known[ledger] = { agentId, number, statement: text, conflict: null };
  }

  export(): EvidenceExport {
    return new EvidenceExport({
      control: {
        state: {
          checkpoints: () => ({ ledgers: this.#known }),
          timestamps: () => ({ roots: this.stamps }),
          contentKeys: () => ({ current: null, retired: [] }),
        },
      },
      contents: { of: () => Promise.resolve({ state: 'readable' }) },
      controlTopic: {
        read: (from, max) =>
          Promise.resolve(
            this.#entries.slice(Number(from), Number(from) + max).map((value, at) => ({
              offset: from + BigInt(at),
              key: new Uint8Array(0),
              value,
              timestampMs: 0,
            })),
          ),
      },
      tree: this.tree,
      checkpoints: { flush: () => Promise.resolve() },
      history: { rows: <Row>(sql: string, parameters: Record<string, unknown>) => Promise.resolve(this.#rows(sql, parameters) as Row[]) },
      clock: () => this.nowMs,
    });
  }

  async lines(scope: EvidenceScope, kept: readonly number[] = []): Promise<Line[]> {
    const lines: Line[] = [];
    for await (const line of this.export().lines(scope, kept)) lines.push(JSON.parse(line) as Line);
    return lines;
  }

  /** What the session store answers to the exporter's queries. */
  #rows(sql: string, given: Record<string, unknown>): unknown[] {
    if (sql.includes('max(seq) AS newest')) {
      return Object.entries(this.#known).map(([session_id, { number }]) => ({ session_id, newest: number }));
    }
    if (sql.includes('SELECT DISTINCT session_id')) {
      return [...new Set(this.#records.filter(({ type }) => type === 'checkpoint').map(({ sessionId }) => sessionId))].map(session_id => ({
        session_id,
      }));
    }
    if (sql.includes('max(seq) AS first')) {
      const before = this.#records.filter(({ sessionId, atMs }) => sessionId === given['ledger'] && atMs < Number(given['before']));
      return [{ first: Math.max(0, ...before.map(({ seq }) => seq)) }];
    }
    if (sql.includes('base64Encode(encoded)')) {
      return this.#records
        .filter(({ sessionId, seq }) => sessionId === given['session'] && seq >= Number(given['from']))
        .map(({ seq, encoded }) => ({ seq, bytes: Buffer.from(encoded).toString('base64') }))
        .slice(0, Number(given['limit']));
    }
    if (sql.includes('FROM sallyport.sessions')) {
      const { sessions, person, resource, first, end, after } = given as Record<string, string & string[]>;
      return this.#sessions
        .filter(({ id }) => id > String(after) && (sessions === undefined || sessions.includes(id)))
        .filter(each => (person === undefined || each.person === person) && (resource === undefined || each.resource === resource))
        .filter(({ id }) => (first === undefined || id >= first) && (end === undefined || id < end))
        .map(({ id }) => ({ session_id: id }))
        .sort((a, b) => (a.session_id < b.session_id ? -1 : 1));
    }
    throw new Error(`the installation has no answer to ${sql}`);
  }
}

function rawPublic(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ format: 'der', type: 'spki' }).subarray(-32));
}
