/**
 * Contents of sessions whose audit policy says `erasable`: reads them for those who may, and makes those of a person unreadable.
 *
 * An agent seals what came back and what was bound under a key of the session, and that key to a sealing key of ours; so it is in every
 * copy of the records. To take away one session's key, the sealing key is replaced: the keys of all other sessions under it are opened
 * and put into a table (`content_keys`), then its private half is destroyed. Until that has happened (`GRACE_MS`, for agents that are cut
 * off and deliver late) whoever holds the session store and the key-encryption key could still open copies; afterwards nobody can.
 *
 * Everything here may run twice, and goes on where a crash left it (`settle`). Not here: who may ask (http/routes/shreds.ts), and that
 * legal holds refuse, which is decided with the log (aggregates/retention.ts).
 */
import { randomUUIDv7 } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { fromBinary } from '@bufbuild/protobuf';
import {
  type Command,
  CommandSchema,
  OutputChunkSchema,
  type Response,
  ResponseSchema,
  type Record as SessionRecord,
} from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { openContentKey, openContents } from '@sallyport/shared/crypto/contents.ts';
import { generateSealingKey } from '@sallyport/shared/crypto/seal.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { startedMs } from '@sallyport/shared/evidence/checkpoint.ts';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import type { Logger } from 'pino';
import { contentKeyAggregate } from '../aggregates/content-key.ts';
import { type Action, action, type ControlLog } from '../aggregates/control-log.ts';
import type { Shred } from '../aggregates/retention.ts';
import { decodeStored } from '../ingest/decode.ts';
import { BlockWriter } from '../ingest/row-binary.ts';
import type { SessionStore } from '../ingest/session-store.ts';
import type { ControlPlaneKeys } from '../pki/keys.ts';

export interface ContentsOptions {
  control: Pick<ControlLog, 'execute' | 'onAccepted'> & { state: Pick<ControlLog['state'], 'contentKeys' | 'retention' | 'manifests'> };
  keys: Pick<ControlPlaneKeys, 'sealAtRest' | 'openAtRest'>;
  /** null: there is none, and agents leave contents out. */
  store: SessionStore | null;
  logger: Logger;
  clock: () => number;
}

/** How the contents of a session are recorded, and what has become of them. */
export type ContentsFound =
  | { state: 'readable' }
  | { state: 'sealed'; key: Uint8Array }
  | { state: 'shredded'; shred: Shred }
  /** The agent had no key to seal to. */
  | { state: 'left out' }
  /** They came when the key that they were sealed to had been destroyed. */
  | { state: 'lost' };

/** How long a sealing key is kept after it was replaced. */
export const GRACE_MS: number = 86_400_000;
const EVERY_MS = 600_000;
const RETRY_MS = 5000;
const CLOSE_MS = 2000;
const PAGE = 500;
const keyColumns = { session_id: 'string', sealed: 'string' } as const;
const system = { author: 'system', authorAddress: '', requestId: '' };

export class Contents {
  readonly #options: ContentsOptions;
  #timer: NodeJS.Timeout | null = null;
  #unsubscribe: () => void = () => undefined;
  #running: Promise<unknown> = Promise.resolve();
  #stopped = false;

  constructor(options: ContentsOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#options.store === null) return;
    this.#unsubscribe = this.#options.control.onAccepted(events => {
      if (events.some(({ stream }) => stream.startsWith('audit-policy/'))) this.#next(0);
    });
    this.#next(0);
  }

  async close(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe();
    if (this.#timer !== null) clearTimeout(this.#timer);
    await Promise.race([this.#running, delay(CLOSE_MS, undefined, { ref: false })]);
  }

  /** @throws {GatewayError} STORE_UNAVAILABLE. */
  async of(sessionId: string): Promise<ContentsFound> {
    const store = this.#store();
    const id = { id: sessionId };
    const [start] = await store.rows<{ encoded: string }>(
      "SELECT base64Encode(encoded) AS encoded FROM sallyport.records WHERE session_id = {id:String} AND seq = 0 AND type = 'session_started'",
      id,
    );
    const started = start === undefined ? null : startOf(start.encoded);
    if (started === null || started.contentKeyId === '') return { state: 'readable' };
    if (started.contentKeyId === 'none') return { state: 'left out' };
    const shred = this.#shreds.find(({ person, throughMs }) => person === started.person && startedMs(sessionId) <= throughMs);
    if (shred !== undefined) return { state: 'shredded', shred };
    const [kept] = await store.rows<{ sealed: string }>(
      'SELECT sealed FROM sallyport.content_keys FINAL WHERE session_id = {id:String}',
      id,
    );
    if (kept !== undefined) return { state: 'sealed', key: this.#openAtRest('content-key', sessionId, kept.sealed) };
    const sealing = await this.#sealingKey(started.contentKeyId);
    return sealing === null ? { state: 'lost' } : { state: 'sealed', key: openContentKey(sealing, sessionId, started.contentKey) };
  }

  /** A command and its answer with their contents, of a session in which they are sealed; what has not come yet is absent. */
  async ofCommand(sessionId: string, seq: number, key: Uint8Array): Promise<{ command?: Command; response?: Response }> {
    const rows = await this.#store().rows<{ encoded: string }>(
      `SELECT base64Encode(encoded) AS encoded FROM sallyport.records
       WHERE session_id = {id:String} AND (seq = {seq:UInt64} OR type = 'response' AND command_seq = {seq:UInt64}) ORDER BY seq LIMIT 2`,
      { id: sessionId, seq },
    );
    const found: { command?: Command; response?: Response } = {};
    for (const { encoded } of rows) {
      const { body } = withContents(decodeStored(Buffer.from(encoded, 'base64')), key);
      if (body.case === 'command') found.command = body.value;
      else if (body.case === 'response') found.response = body.value;
    }
    return found;
  }

  /** How many sessions of a person there are, and of how many the contents cannot be shredded, because they were recorded readable. */
  async sessionsOf(person: string, throughMs: number): Promise<{ sessions: number; readable: number }> {
    const [count] = await this.#store().rows<{ sessions: string; readable: string }>(
      `SELECT count() AS sessions, countIf(session_id NOT IN (
         SELECT session_id FROM sallyport.record_rows WHERE seq = 0 AND type = 'session_started' AND JSONExtractString(body, 'contentKeyId') != ''
           AND session_id IN (SELECT session_id FROM sallyport.sessions WHERE principal = {person:String}))) AS readable
       FROM sallyport.sessions WHERE principal = {person:String} AND session_id < {end:String} AND status != 'refused'`,
      { person, end: idAfter(throughMs) },
    );
    return { sessions: Number(count?.sessions ?? 0), readable: Number(count?.readable ?? 0) };
  }

  /**
   * Makes what is to be unreadable so: what was shredded by the log since the last run, and sealing keys whose time is over.
   * @param graceMs how long a replaced sealing key is kept; 0: contents that agents have not delivered yet are lost with it.
   */
  settle(graceMs: number = GRACE_MS): Promise<void> {
    const run = this.#running.then(() => this.#settle(graceMs));
    this.#running = run.catch(() => undefined); // who asked is told; the next run stands for itself
    return run;
  }

  get #shreds(): readonly Shred[] {
    return this.#options.control.state.retention().shreds;
  }

  async #settle(graceMs: number): Promise<void> {
    const { control, clock } = this.#options;
    const store = this.#store();
    if (control.state.contentKeys().current === null && this.#isWanted()) await this.#makeKey(null);
    for (const { id, person, throughMs } of this.#shreds) {
      await store.command(
        `INSERT INTO sallyport.shredded_sessions (session_id, shred_id) SELECT session_id, {id:String} FROM sallyport.sessions
         WHERE principal = {person:String} AND session_id < {end:String} AND session_id NOT IN (SELECT session_id FROM sallyport.shredded_sessions)`,
        { id, person, end: idAfter(throughMs) },
      );
    }
    const lastMs = Math.max(0, ...this.#shreds.map(({ throughMs }) => throughMs));
    const { current } = control.state.contentKeys();
    if (current !== null && current.madeAtMs <= lastMs) await this.#makeKey(current.id);
    const { retired } = control.state.contentKeys();
    for (const { id } of retired) await this.#collect(id);
    const over = retired.filter(({ retiredAtMs }) => retiredAtMs + graceMs <= clock()).map(({ id }) => id);
    await this.#deleteRows('content_keys', 'session_id IN (SELECT session_id FROM sallyport.shredded_sessions)', {});
    if (over.length > 0) {
      await this.#deleteRows('content_sealing_keys', 'id IN {ids:Array(String)}', { ids: over });
      await this.#execute(action(contentKeyAggregate, 'log', { type: 'destroyed', ids: over }), 'their time was over');
    }
  }

  /** Does an audit policy ask for sealed contents? */
  #isWanted(): boolean {
    return this.#options.control.state
      .manifests('AuditPolicy')
      .some(({ manifest }) => (manifest as Manifest<'AuditPolicy'>).spec.erasable === true);
  }

  /** The private half is in the store before agents hear of the key. */
  async #makeKey(replaces: string | null): Promise<void> {
    const { keys, clock } = this.#options;
    const id = randomUUIDv7();
    const { publicKey, privateKey } = generateSealingKey();
    const block = new BlockWriter({ id: 'string', sealed: 'string' } as const);
    block.add({ id, sealed: keys.sealAtRest(privateKey, `content-sealing-key:${id}`) });
    privateKey.fill(0);
    await this.#store().insert('sallyport.content_sealing_keys', block.columns, block.take());
    const made = { type: 'make' as const, id, publicKey: Buffer.from(publicKey).toString('base64'), replaces, nowMs: clock() };
    await this.#execute(
      action(contentKeyAggregate, 'log', made),
      replaces === null ? 'an audit policy asks for it' : 'contents were shredded',
    );
  }

  /** Keeps the keys of all sessions under a sealing key, but for those that are shredded. */
  async #collect(keyId: string): Promise<void> {
    const { keys, logger } = this.#options;
    const store = this.#store();
    const sealing = await this.#sealingKey(keyId);
    if (sealing === null) return; // destroyed already
    for (let after = ''; ; ) {
      const rows = await store.rows<{ session_id: string; encoded: string }>(
        `SELECT session_id, base64Encode(encoded) AS encoded FROM sallyport.records
         WHERE session_id > {after:String} AND seq = 0 AND type = 'session_started' AND JSONExtractString(body, 'contentKeyId') = {keyId:String}
           AND session_id NOT IN (SELECT session_id FROM sallyport.content_keys)
           AND session_id NOT IN (SELECT session_id FROM sallyport.shredded_sessions)
         ORDER BY session_id LIMIT ${PAGE}`,
        { after, keyId },
      );
      const block = new BlockWriter(keyColumns);
      for (const { session_id, encoded } of rows) {
        try {
          const key = openContentKey(sealing, session_id, startOf(encoded).contentKey);
          block.add({ session_id, sealed: keys.sealAtRest(key, `content-key:${session_id}`) });
        } catch (error) {
          // An agent that wrote something else there has made its own contents unreadable: nobody else's wait for it.
          logger.warn({ sessionId: session_id, err: errorText(error) }, 'a key of contents cannot be opened');
        }
      }
      if (block.rows > 0) await store.insert('sallyport.content_keys', block.columns, block.take());
      after = rows.at(-1)?.session_id ?? '';
      if (rows.length < PAGE) return;
    }
  }

  async #sealingKey(id: string): Promise<Uint8Array | null> {
    const [row] = await this.#store().rows<{ sealed: string }>(
      'SELECT sealed FROM sallyport.content_sealing_keys FINAL WHERE id = {id:String}',
      { id },
    );
    return row === undefined ? null : this.#openAtRest('content-sealing-key', id, row.sealed);
  }

  #openAtRest(what: 'content-key' | 'content-sealing-key', id: string, sealed: string): Uint8Array {
    return this.#options.keys.openAtRest(sealed, `${what}:${id}`);
  }

  async #deleteRows(table: 'content_keys' | 'content_sealing_keys', where: string, parameters: Record<string, unknown>): Promise<void> {
    const store = this.#store();
    const [count] = await store.rows<{ n: string }>(`SELECT count() AS n FROM sallyport.${table} WHERE ${where}`, parameters);
    if (Number(count?.n ?? 0) === 0) return;
    await store.command(`ALTER TABLE sallyport.${table} DELETE WHERE ${where} SETTINGS mutations_sync = 2`, parameters);
  }

  async #execute(what: Action, reason: string): Promise<void> {
    const outcome = await this.#options.control.execute([what], { ...system, reason });
    if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
  }

  #store(): SessionStore {
    if (this.#options.store === null)
      throw new GatewayError('STORE_UNAVAILABLE', 'unavailable', 'This control plane has no session store (--clickhouse).');
    return this.#options.store;
  }

  #next(delayMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      // Nobody has asked for it: then the store, too, need not be there.
      const { current, retired } = this.#options.control.state.contentKeys();
      if (current === null && retired.length === 0 && !this.#isWanted()) return;
      this.settle().then(
        () => this.#next(EVERY_MS),
        (error: unknown) => {
          this.#options.logger.warn({ err: errorText(error) }, 'keys of contents could not be seen to; it is tried again');
          this.#next(RETRY_MS);
        },
      );
    }, delayMs);
    this.#timer.unref();
  }
}

/** A record with its contents, or as it is when nothing of it is sealed. @throws {GatewayError} CONTENTS_UNREADABLE. */
export function withContents(record: SessionRecord, key: Uint8Array): SessionRecord {
  const { body } = record;
  // What is sealed is a message of the same type: it adds its fields.
  const opened = (sealed: Uint8Array) => openContents(key, Number(record.seq), sealed);
  switch (body.case) {
    case 'command': {
      const { sealed } = body.value;
      if (sealed.length === 0) return record;
      const { parameters } = fromBinary(CommandSchema, opened(sealed));
      return { ...record, body: { case: 'command', value: { ...body.value, parameters } } };
    }
    case 'response': {
      const { sealed } = body.value;
      if (sealed.length === 0) return record;
      const { head, sha256, errorText: text } = fromBinary(ResponseSchema, opened(sealed));
      return { ...record, body: { case: 'response', value: { ...body.value, head, sha256, errorText: text } } };
    }
    case 'outputChunk': {
      const { sealed } = body.value;
      if (sealed.length === 0) return record;
      const { data } = fromBinary(OutputChunkSchema, opened(sealed));
      return { ...record, body: { case: 'outputChunk', value: { ...body.value, data } } };
    }
    default:
      return record;
  }
}

/** Why contents are not shown, for people; null when they are. */
export function whyGone(found: ContentsFound): string | null {
  switch (found.state) {
    case 'readable':
    case 'sealed':
      return null;
    case 'shredded': {
      const { throughMs, askedBy, confirmedBy, reason } = found.shred;
      return `shredded at ${new Date(throughMs).toISOString()}, asked for by ${askedBy}, confirmed by ${confirmedBy}: ${reason}`;
    }
    case 'left out':
      return 'not recorded: the policy asks for sealed contents, and the agent had no key to seal to';
    case 'lost':
      return 'unreadable: they arrived when the key that they were sealed to had been destroyed';
  }
}

function startOf(encoded: string): { contentKey: Uint8Array; contentKeyId: string; person: string } {
  const { body } = decodeStored(Buffer.from(encoded, 'base64'));
  if (body.case !== 'sessionStarted') return { contentKey: new Uint8Array(0), contentKeyId: '', person: '' };
  const { contentKey, contentKeyId, principal } = body.value;
  return { contentKey, contentKeyId, person: principal?.name ?? '' };
}

/** Ids of sessions that began until a moment are below it (UUID version 7: milliseconds first). */
function idAfter(ms: number): string {
  const hex = (ms + 1).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}`;
}
