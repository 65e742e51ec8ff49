/**
 * Checkpoints: what an agent signs of its sessions, as bytes. Made by the agent, logged by the control plane, read by verifiers.
 *
 * A checkpoint's statement names its ledger (one per spool), its number there, the hash of the statement before, and the Merkle root
 * over the heads of the sessions that moved. A later statement therefore vouches for every earlier one of its ledger.
 *
 * Not here: keys and signing (the agent's), hashing (given), and what follows from a checkpoint that does not fit (verify.ts).
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  CheckpointSchema,
  type CheckpointStatement,
  CheckpointStatementSchema,
  type SessionHead,
  SessionHeadSchema,
} from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { type Sha256, treeRoot } from './merkle.ts';

/** Where a session stands; `hash` and tags are bytes of the caller's own. */
export interface Head {
  sessionId: string;
  records: number;
  hash: Uint8Array;
  ended: boolean;
  principalTag: Uint8Array;
  resourceTag: Uint8Array;
}

export interface Statement {
  agentId: string;
  ledger: string;
  number: number;
  atUnixUs: number;
  previous: Uint8Array;
  headsRoot: Uint8Array;
  heads: number;
}

const PREFIX = new TextEncoder().encode('sallyport-checkpoint-v1\0');
const TAG_BYTES = 16;
const encoder = new TextEncoder();

/** The bytes that the agent's evidence key signs for a statement. */
export function signedBytes(statement: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(PREFIX.length + statement.length);
  bytes.set(PREFIX);
  bytes.set(statement, PREFIX.length);
  return bytes;
}

/**
 * Binds a head to a person or a resource without saying which: whoever knows the session and asks about a name can tell whether it
 * is theirs, so that an export about one person is provably complete and names nobody else.
 */
export function headTag(what: 'principal' | 'resource', sessionId: string, name: string, sha256: Sha256): Uint8Array {
  return sha256(encoder.encode(`${what}\0${sessionId}\0${name}`)).slice(0, TAG_BYTES);
}

/** When a session began, by its id (UUID version 7), milliseconds since 1970; NaN for another id. */
export function startedMs(sessionId: string): number {
  return Number.parseInt(sessionId.slice(0, 13).replace('-', ''), 16);
}

export function encodeHead(head: Head): Uint8Array {
  return toBinary(SessionHeadSchema, create(SessionHeadSchema, { ...head, records: BigInt(head.records) }));
}

/** @returns null for what is no SessionHead. */
export function decodeHead(bytes: Uint8Array): Head | null {
  let message: SessionHead;
  try {
    message = fromBinary(SessionHeadSchema, bytes);
  } catch {
    return null; // the caller names what is wrong with it
  }
  const { sessionId, hash, ended, principalTag, resourceTag } = message;
  return { sessionId, records: Number(message.records), hash, ended, principalTag, resourceTag };
}

export function encodeStatement(statement: Statement): Uint8Array {
  return toBinary(
    CheckpointStatementSchema,
    create(CheckpointStatementSchema, {
      ...statement,
      number: BigInt(statement.number),
      atUnixUs: BigInt(statement.atUnixUs),
      heads: BigInt(statement.heads),
    }),
  );
}

/** @returns null for what is no CheckpointStatement. */
export function decodeStatement(bytes: Uint8Array): Statement | null {
  let message: CheckpointStatement;
  try {
    message = fromBinary(CheckpointStatementSchema, bytes);
  } catch {
    return null; // the caller names what is wrong with it
  }
  const { agentId, ledger, previous, headsRoot } = message;
  const statement = {
    agentId,
    ledger,
    number: Number(message.number),
    atUnixUs: Number(message.atUnixUs),
    previous,
    headsRoot,
    heads: Number(message.heads),
  };
  return agentId === '' || ledger === '' || !Number.isSafeInteger(statement.number) ? null : statement;
}

export function headsRoot(heads: readonly Uint8Array[], sha256: Sha256): Uint8Array {
  return treeRoot(heads, sha256);
}

/** The body of a record of type checkpoint. */
export function encodeCheckpoint(statement: Uint8Array, signature: Uint8Array, heads: readonly Uint8Array[]): Uint8Array {
  return toBinary(CheckpointSchema, create(CheckpointSchema, { statement, signature, heads: [...heads] }));
}
