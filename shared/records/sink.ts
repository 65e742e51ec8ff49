/**
 * Where a session's records go. Implemented by the agent's spool; sessions see only this.
 */
export interface RecordSink {
  /**
   * Takes one encoded `Record`. Order of calls is order on disk. The bytes are copied before it returns.
   *
   * @param isAwaited false: nothing is released by this record, so it need not be on disk at once; `whenDurable` hastens it. Default true.
   * @returns the record's index in the spool.
   * @throws {GatewayError} SPOOL_FULL, SPOOL_BROKEN (kind `unavailable`): nothing was taken, and the session must not forward.
   */
  append(record: Uint8Array, isAwaited?: boolean): number;
  /** Records with an index below this are on disk (fdatasync or O_DSYNC done). */
  readonly durableIndex: number;
  /**
   * Calls back once everything up to and including `index` is on disk, or with the error that prevents it. Calls back
   * synchronously when it already is. Callbacks run in order of index; one sync serves all that wait.
   */
  whenDurable(index: number, done: (error: Error | null) => void): void;
}
