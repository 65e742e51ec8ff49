/**
 * Reads the catalog on the session's own connection when a command hangs on it (own-catalog.ts): between the client's commands, in a
 * savepoint or a transaction that is rolled back.
 */
import type { Judged } from '../judge.ts';
import { ownStatements, ownSync, undoable } from '../preview/exchange.ts';
import type { Relay } from '../relay.ts';
import type { ClientFrames, Outcome } from './frames.ts';
import { begins } from './own-transaction.ts';

export class OwnCatalogReading {
  readonly #relay: Relay;
  readonly #frames: ClientFrames;
  #reading = false;

  constructor(relay: Relay, frames: ClientFrames) {
    this.#relay = relay;
    this.#frames = frames;
  }

  /**
   * What the session's transaction or its temporary objects have done to names is told by its own connection alone: it is asked
   * when a command would be refused for not knowing that.
   * @returns null when the command can be judged as well as it ever can.
   */
  awaited(frameStart: number, { flow: judgement, inForce, statements }: Judged): Outcome | null {
    const relay = this.#relay;
    const { flow, pipeline } = relay;
    if (flow === null || !inForce.policy.hasColumnRules || relay.transactionStatus === 'E') return null;
    if (!flow.wantsOwnCatalog(judgement, statements[0]?.effects.some(begins) === true)) return null;
    if (pipeline.length > 0) return this.#frames.stall(() => pipeline.length === 0);
    const { segmentOpen: inSegment } = pipeline;
    const { clientEncoding } = relay.judge.settings;
    const inBlock = inSegment ? flow.block === true : relay.transactionStatus === 'T';
    if (inSegment && !inBlock) {
      // PostgreSQL's implicit transaction knows no savepoints, and an error would end what the client has begun.
      flow.ownCatalogIs(null, clientEncoding);
      return null;
    }
    this.#reading = true;
    let row: (string | null)[] | null = null;
    const done = (): void => {
      this.#reading = false;
      flow.ownCatalogIs(row, clientEncoding);
    };
    const texts = flow.ownCatalogStatements(clientEncoding);
    const onRow = (values: (string | null)[]): void => {
      row = values;
    };
    const reading = texts.map((text, i) => (i < texts.length - 1 ? { text } : { text, onRow }));
    const { begin, undo } = undoable(inBlock);
    this.#frames.cut(frameStart);
    if (inSegment) {
      const ends = undo.map((own, i) => (i < undo.length - 1 ? own : { ...own, onTag: done }));
      // An error here ends the client's own segment, and is told to the client.
      this.#frames.append(...ownStatements(pipeline, [...begin, ...reading, ...ends], { asClients: fields => ({ fields, run: null }) }));
    } else {
      let failed = false;
      const onError = (): void => {
        failed = true;
        row = null;
      };
      const settle = (): void => {
        if (!failed) done();
        else relay.sendUp(Buffer.concat([...ownStatements(pipeline, undo, { onError }), ownSync(pipeline, done)]), -1);
      };
      this.#frames.append(...ownStatements(pipeline, [...begin, ...reading, ...undo], { onError }), ownSync(pipeline, settle));
    }
    return this.#frames.stall(() => !this.#reading || pipeline.skipping);
  }
}
