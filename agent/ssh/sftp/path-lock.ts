/**
 * What lies between asking a host where a path leads and its answer to the request that says that path: nothing else of this session
 * that changes where paths lead may come in between, on whatever channel. Requests that only use paths may overlap.
 *
 * It orders the session's own requests. What its commands and other people do at the host, it cannot know.
 */
export type Leave = () => void;

interface Entry {
  readonly owner: object;
  readonly exclusive: boolean;
  readonly run: (leave: Leave) => void;
}

export class PathLock {
  readonly #inside = new Set<Entry>();
  #waiting: Entry[] = [];

  /**
   * Runs in turn, at once if it can. Whoever waits longer goes first, so that nobody waits for ever.
   * @param owner whose it is, for `abandon`. @param exclusive it changes where paths lead. @param run calls `leave` once, when it is over.
   */
  enter(owner: object, exclusive: boolean, run: (leave: Leave) => void): void {
    this.#waiting.push({ owner, exclusive, run });
    this.#next();
  }

  /** Everything of an owner is over: what it has inside leaves, what waits is forgotten. */
  abandon(owner: object): void {
    this.#waiting = this.#waiting.filter(entry => entry.owner !== owner);
    for (const entry of [...this.#inside]) if (entry.owner === owner) this.#inside.delete(entry);
    this.#next();
  }

  #next(): void {
    for (;;) {
      const entry = this.#waiting[0];
      if (entry === undefined) return;
      const [other] = this.#inside;
      if (other !== undefined && (entry.exclusive || other.exclusive)) return;
      this.#waiting.shift();
      this.#inside.add(entry);
      entry.run(() => {
        if (this.#inside.delete(entry)) this.#next();
      });
    }
  }
}
