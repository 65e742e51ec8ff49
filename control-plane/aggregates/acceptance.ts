/**
 * The one rule by which every reader of the control log tells which events count: an event's stream is at the version that it expects, and
 * so is every kind of streams that its decision looked at. Whoever reads the log from the beginning, or knows how far streams and kinds
 * were, comes to the same verdicts.
 */

export interface Expecting {
  stream: string;
  expectedVersion: bigint;
  /** Kind of stream → events that counted on all streams of it. */
  expectedKinds?: Readonly<Record<string, bigint>>;
}

export class Acceptance {
  readonly #streams: Map<string, bigint>;
  readonly #kinds: Map<string, bigint>;

  /** Of what was read before, or nothing. */
  constructor(streams = new Map<string, bigint>(), kinds = new Map<string, bigint>()) {
    this.#streams = streams;
    this.#kinds = kinds;
  }

  /** Whether the next event of the log counts; it does from then on. */
  counts(event: Expecting): boolean {
    const version = this.#streams.get(event.stream) ?? 0n;
    if (event.expectedVersion !== version || !kindsFit(event, kind => this.#kinds.get(kind) ?? 0n)) return false;
    const kind = kindOfStream(event.stream);
    this.#streams.set(event.stream, version + 1n);
    this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0n) + 1n);
    return true;
  }
}

export function kindsFit({ expectedKinds = {} }: Pick<Expecting, 'expectedKinds'>, versionOf: (kind: string) => bigint): boolean {
  return Object.entries(expectedKinds).every(([kind, version]) => versionOf(kind) === version);
}

/** The first part of a stream's name. */
export function kindOfStream(stream: string): string {
  const slash = stream.indexOf('/');
  return slash < 0 ? stream : stream.slice(0, slash);
}
