/** Reads server-sent events as a browser does: events by name, and the id to go on from. */
export interface SentEvent {
  type: string;
  id: string;
  data: Record<string, unknown>;
}

export class EventReader {
  readonly events: SentEvent[] = [];
  /** Of the last event or heartbeat. */
  lastId = '';
  ended = false;
  readonly response: Response;
  readonly #abort: AbortController;
  readonly #wake = new Set<() => void>();

  private constructor(response: Response, abort: AbortController) {
    this.response = response;
    this.#abort = abort;
    void this.#read();
  }

  /** @throws when the answer is no stream. */
  static async open(url: string, headers: Record<string, string>): Promise<EventReader> {
    const abort = new AbortController();
    const response = await fetch(url, { headers: { accept: 'text/event-stream', ...headers }, signal: abort.signal });
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
    const reader = new EventReader(response, abort);
    await reader.next(({ type }) => type === 'hello');
    return reader;
  }

  of(type: string): Record<string, unknown>[] {
    return this.events.filter(event => event.type === type).map(({ data }) => data);
  }

  /** The first event that fits, now or later. */
  async next(fits: (event: SentEvent) => boolean, limitMs = 180_000): Promise<SentEvent> {
    return this.#until(
      () => this.events.find(fits),
      limitMs,
      () => `${JSON.stringify(this.events.map(({ type, data }) => [type, data])).slice(0, 4000)}`,
    );
  }

  async end(limitMs = 180_000): Promise<void> {
    await this.#until(
      () => (this.ended ? true : undefined),
      limitMs,
      () => 'still open',
    );
  }

  close(): void {
    this.#abort.abort();
  }

  async #until<Value>(look: () => Value | undefined, limitMs: number, story: () => string): Promise<Value> {
    const deadline = Date.now() + limitMs;
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      if (this.ended || Date.now() > deadline) throw new Error(`not seen: ${story()}`);
      await new Promise<void>(resolve => {
        const timer = setTimeout(done, 500);
        const wake = done;
        this.#wake.add(wake);
        const self = this.#wake;
        function done() {
          clearTimeout(timer);
          self.delete(wake);
          resolve();
        }
      });
    }
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = '';
    try {
      for await (const chunk of this.response.body ?? []) {
        rest += decoder.decode(chunk as Uint8Array, { stream: true });
        const blocks = rest.split('\n\n');
        rest = blocks.pop() ?? '';
        for (const block of blocks) this.#take(block);
        for (const wake of [...this.#wake]) wake();
      }
    } catch {
      // Cut off: the same end.
    }
    this.ended = true;
    for (const wake of [...this.#wake]) wake();
  }

  #take(block: string): void {
    let type = 'message';
    let data = '';
    for (const line of block.split('\n')) {
      if (line.startsWith('id: ')) this.lastId = line.slice(4);
      else if (line.startsWith('event: ')) type = line.slice(7);
      else if (line.startsWith('data: ')) data += line.slice(6);
    }
    if (data !== '') this.events.push({ type, id: this.lastId, data: JSON.parse(data) });
  }
}
