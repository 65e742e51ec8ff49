/**
 * Carries records from the spools to the log, over the control plane's Relay or straight to Kafka (kafka-stream.ts). A batch is sent until
 * it is acknowledged; a record that comes twice is known by its session and number, so a batch that is sent twice counts once.
 *
 * What an acknowledgement says goes back to the spool, which may then delete. Nothing here decides what is recorded.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import type { RelayAck } from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { RecordBatchSchema } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { errorText } from '@sallyport/shared/errors.ts';
import type { Log } from '../log.ts';
import { SpoolReader } from '../spool/reader.ts';
import { Backoff } from './backoff.ts';

/** What takes encoded RecordBatch messages and acknowledges them: a gRPC stream, or what behaves like one. */
export interface RelayStream {
  on(event: 'data', listener: (ack: Pick<RelayAck, 'spoolId' | 'nextIndex'>) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'end' | 'drain', listener: () => void): unknown;
  readonly writableNeedDrain: boolean;
  write(batch: Buffer): unknown;
  end(): unknown;
  cancel(): void;
}

export interface ShipperOptions {
  relay: () => RelayStream;
  agentId: () => string;
  log: Log;
  /** Batches of one spool that may wait for their acknowledgement; default 4. */
  windowBatches?: number;
  /** About how many bytes of records a batch has; default 512 KiB. */
  batchBytes?: number;
  backoff?: Backoff;
  silenceMs?: number;
  /** How long a few records wait for more before they are sent; default 100. */
  lingerMs?: number;
}

/** From so many records on, a batch is worth its way at once. */
const LINGER_RECORDS = 2000;
const LINGER_MS = 100;

/** A receiver that acknowledges nothing for this long, with batches on their way, is hung: the stream is opened anew. */
const SILENCE_MS = 30_000;
/** How long a spool that cannot be read is left alone. */
const UNREADABLE_PAUSE_MS = 10_000;

/** One spool's shipment. */
export class Shipment {
  readonly dir: string;
  readonly onShipped: (nextIndex: number) => void;
  readonly reader: SpoolReader;
  spoolId: string | null = null;
  durableIndex = 0;
  /** Everything below is acknowledged. */
  ackedIndex = 0;
  /** What is sent next. */
  cursor = 0;
  /** The ends of batches without acknowledgement, oldest first. */
  unacked: number[] = [];
  pumping = false;
  linger: NodeJS.Timeout | null = null;
  pauseUntilMs = 0;
  removed = false;

  constructor(dir: string, onShipped: (nextIndex: number) => void) {
    this.dir = dir;
    this.onShipped = onShipped;
    this.reader = new SpoolReader(dir);
  }
}

export class Shipper {
  readonly #options: ShipperOptions;
  readonly #backoff: Backoff;
  readonly #window: number;
  readonly #batchBytes: number;
  readonly #shipments = new Set<Shipment>();
  #call: RelayStream | null = null;
  #retry: NodeJS.Timeout | null = null;
  #stopped = true;
  #silence: NodeJS.Timeout | null = null;
  /** Records acknowledged since the start, for metrics. */
  recordsShipped = 0;
  /** Why the last stream failed; empty while one works. */
  problem = '';

  constructor(options: ShipperOptions) {
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff(250, 10_000);
    this.#window = options.windowBatches ?? 4;
    this.#batchBytes = options.batchBytes ?? 512 * 1024;
  }

  /** Begins to ship a spool; nothing is read before `durable` says that there is something. */
  add(dir: string, onShipped: (nextIndex: number) => void): Shipment {
    const shipment = new Shipment(dir, onShipped);
    this.#shipments.add(shipment);
    return shipment;
  }

  /** The spool is gone or will be opened anew: forget it. */
  async remove(shipment: Shipment): Promise<void> {
    shipment.removed = true;
    this.#shipments.delete(shipment);
    if (shipment.linger !== null) clearTimeout(shipment.linger);
    shipment.linger = null;
    if (!shipment.pumping) await shipment.reader.close();
  }

  durable(shipment: Shipment, nextIndex: number): void {
    if (nextIndex <= shipment.durableIndex) return;
    shipment.durableIndex = nextIndex;
    this.#soon(shipment);
  }

  /**
   * A batch costs the same on its way whether it has one record or a thousand (a read, a message, a sync at the other end), so a few
   * records wait a moment for more.
   */
  #soon(shipment: Shipment): void {
    if (shipment.durableIndex - shipment.cursor >= LINGER_RECORDS) {
      this.#pump(shipment);
      return;
    }
    if (shipment.linger !== null || shipment.removed) return;
    shipment.linger = setTimeout(() => {
      shipment.linger = null;
      this.#pump(shipment);
    }, this.#options.lingerMs ?? LINGER_MS);
  }

  /** Is everything durable acknowledged? */
  get idle(): boolean {
    return [...this.#shipments].every(shipment => shipment.ackedIndex >= shipment.durableIndex);
  }

  /** Durable records without acknowledgement. */
  get waiting(): number {
    let records = 0;
    for (const shipment of this.#shipments) records += Math.max(0, shipment.durableIndex - shipment.ackedIndex);
    return records;
  }

  start(): void {
    this.#stopped = false;
    this.#open();
  }

  reopen(): void {
    if (this.#stopped) return;
    this.#backoff.reset();
    this.#drop();
    this.#open();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const call = this.#call;
    this.#drop();
    call?.end();
    for (const shipment of this.#shipments) await this.remove(shipment);
  }

  #open(): void {
    const call = this.#options.relay();
    this.#call = call;
    call.on('data', ack => {
      if (this.#call === call) this.#acknowledged(ack);
    });
    call.on('error', error => this.#lost(call, errorText(error)));
    call.on('end', () => this.#lost(call, 'the stream was ended'));
    call.on('drain', () => {
      if (this.#call === call) for (const shipment of this.#shipments) this.#pump(shipment);
    });
    for (const shipment of this.#shipments) {
      shipment.cursor = shipment.ackedIndex;
      shipment.unacked = [];
      this.#pump(shipment);
    }
  }

  #lost(call: RelayStream, why: string): void {
    if (this.#call !== call) return;
    this.#drop();
    if (this.#stopped) return;
    const pauseMs = this.#backoff.nextMs();
    if (this.problem === '') this.#options.log.warn({ why }, 'records wait in the spool: they cannot be delivered');
    this.problem = why;
    this.#retry = setTimeout(() => this.#open(), pauseMs);
  }

  /** Waits for the next acknowledgement, if one is owed. */
  #expectAnswer(): void {
    if (this.#silence !== null) clearTimeout(this.#silence);
    this.#silence = null;
    const call = this.#call;
    if (call === null || ![...this.#shipments].some(shipment => shipment.unacked.length > 0)) return;
    const silenceMs = this.#options.silenceMs ?? SILENCE_MS;
    this.#silence = setTimeout(() => this.#lost(call, `no acknowledgement within ${silenceMs} ms`), silenceMs);
  }

  #drop(): void {
    const call = this.#call;
    this.#call = null;
    if (this.#silence !== null) clearTimeout(this.#silence);
    this.#silence = null;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    call?.on('error', () => undefined);
    if (!this.#stopped) call?.cancel();
  }

  #acknowledged(ack: Pick<RelayAck, 'spoolId' | 'nextIndex'>): void {
    const shipment = [...this.#shipments].find(each => each.spoolId === ack.spoolId);
    if (shipment === undefined) return;
    if (this.problem !== '') this.#options.log.info({}, 'records are shipped again');
    this.problem = '';
    this.#backoff.reset();
    const nextIndex = Number(ack.nextIndex);
    if (nextIndex > shipment.durableIndex) {
      // The log has records of this spool that the spool has not: its files were set back. Going on would lose new records as
      // repetitions of old ones.
      this.#options.log.error(
        { spool: ack.spoolId, acknowledged: nextIndex, durable: shipment.durableIndex },
        'the spool is older than what the log has of it: its folder was restored; move it away and start the agent again',
      );
      shipment.pauseUntilMs = Number.POSITIVE_INFINITY;
      return;
    }
    if (nextIndex > shipment.ackedIndex) {
      this.recordsShipped += nextIndex - shipment.ackedIndex;
      shipment.ackedIndex = nextIndex;
      shipment.cursor = Math.max(shipment.cursor, nextIndex);
      shipment.onShipped(nextIndex);
    }
    while ((shipment.unacked[0] ?? Number.POSITIVE_INFINITY) <= nextIndex) shipment.unacked.shift();
    this.#expectAnswer();
    this.#soon(shipment);
  }

  #pump(shipment: Shipment): void {
    if (shipment.pumping || shipment.removed) return;
    shipment.pumping = true;
    this.#send(shipment)
      .catch((error: unknown) => {
        if (shipment.removed) return;
        this.#options.log.error({ spool: shipment.spoolId, why: errorText(error) }, 'records cannot be read back from the spool');
        shipment.pauseUntilMs = Date.now() + UNREADABLE_PAUSE_MS;
        setTimeout(() => this.#pump(shipment), UNREADABLE_PAUSE_MS).unref();
      })
      .finally(() => {
        shipment.pumping = false;
        if (shipment.removed) void shipment.reader.close();
        else if (this.#maySend(shipment)) this.#soon(shipment);
      });
  }

  #maySend(shipment: Shipment): boolean {
    return (
      this.#call !== null &&
      !this.#call.writableNeedDrain &&
      !shipment.removed &&
      shipment.unacked.length < this.#window &&
      shipment.cursor < shipment.durableIndex &&
      Date.now() >= shipment.pauseUntilMs
    );
  }

  async #send(shipment: Shipment): Promise<void> {
    while (this.#maySend(shipment)) {
      if (shipment.spoolId === null) {
        const known = await shipment.reader.identify();
        if (known === null) return;
        shipment.spoolId = known.spoolId;
        // What is deleted was acknowledged.
        shipment.ackedIndex = known.firstIndex;
        shipment.cursor = Math.max(shipment.cursor, known.firstIndex);
        continue;
      }
      const call = this.#call;
      const cursor = shipment.cursor;
      const batch = await shipment.reader.read(cursor, shipment.durableIndex, this.#batchBytes);
      if (batch === null) return;
      // An acknowledgement or another stream may have come meanwhile.
      if (call === null || this.#call !== call || shipment.cursor !== cursor) continue;
      if (batch.firstIndex > cursor) {
        this.#options.log.error(
          { spool: batch.spoolId, fromIndex: cursor, toIndex: batch.firstIndex },
          'records of the spool are lost: the disk does not give them back',
        );
      }
      const end = batch.firstIndex + batch.count;
      shipment.cursor = end;
      shipment.unacked.push(end);
      if (this.#silence === null) this.#expectAnswer();
      const head = create(RecordBatchSchema, {
        agentId: this.#options.agentId(),
        spoolId: batch.spoolId,
        firstIndex: BigInt(batch.firstIndex),
      });
      call.write(Buffer.concat([toBinary(RecordBatchSchema, head), ...batch.encoded]));
      if (shipment.durableIndex - shipment.cursor < LINGER_RECORDS) return;
    }
  }
}
