/**
 * A disk in memory for the spool's tests: writes take time, can be made to fail, and a crash keeps what was durable plus an
 * arbitrary part of the write that was in flight.
 */
import type { SegmentFile, SpoolDisk } from './disk.ts';

export class MemoryDisk implements SpoolDisk {
  readonly files = new Map<string, Buffer>();
  /** Called before each operation; what it throws is the operation's error. */
  fault: (operation: string, file: string) => void = () => {};
  /** Writes at most so many bytes at once. */
  writeBytesMax: number = Number.POSITIVE_INFINITY;
  /** While set, writes wait. */
  #held: (() => void)[] | null = null;
  #crashed = false;
  #inFlight: { data: Buffer; bytes: Buffer; position: number }[] = [];
  opened = 0;

  hold(): void {
    this.#held = [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const go of held) go();
  }

  /** Power goes: of what was being written, `keep(length)` bytes arrive. @returns a disk with what is left. */
  crash(keep: (length: number) => number): MemoryDisk {
    this.#crashed = true;
    for (const { data, bytes, position } of this.#inFlight) bytes.copy(data, position, 0, keep(bytes.length));
    const after = new MemoryDisk();
    for (const [name, data] of this.files) after.files.set(name, data);
    return after;
  }

  #check(operation: string, file: string): void {
    this.fault(operation, file);
  }

  async list(dir: string): Promise<string[]> {
    this.#check('list', dir);
    return [...this.files.keys()].filter(name => name.startsWith(`${dir}/`)).map(name => name.slice(dir.length + 1));
  }

  async open(file: string): Promise<SegmentFile> {
    this.#check('open', file);
    const data = this.files.get(file);
    if (data === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    this.opened++;
    return {
      bytes: data.length,
      write: (buffer, offset, length, position, done) => {
        const bytes = Buffer.from(buffer.subarray(offset, offset + Math.min(length, this.writeBytesMax)));
        const flight = { data, bytes, position };
        this.#inFlight.push(flight);
        const go = () =>
          setImmediate(() => {
            if (this.#crashed) return;
            this.#inFlight.splice(this.#inFlight.indexOf(flight), 1);
            try {
              this.#check('write', file);
            } catch (error) {
              done(error as Error, 0);
              return;
            }
            bytes.copy(data, position);
            done(null, bytes.length);
          });
        if (this.#held !== null) this.#held.push(go);
        else go();
      },
      read: async (into, offset, length, position) => {
        this.#check('read', file);
        return data.copy(into, offset, position, Math.min(position + length, data.length));
      },
      close: async () => {
        this.opened--;
      },
    };
  }

  async allocate(file: string, bytes: number): Promise<void> {
    this.#check('allocate', file);
    await new Promise(resolve => setImmediate(resolve));
    if (!this.#crashed) this.files.set(file, Buffer.alloc(bytes));
  }

  async rename(from: string, to: string): Promise<void> {
    this.#check('rename', to);
    const data = this.files.get(from);
    if (data === undefined || this.#crashed) return;
    this.files.set(to, data);
    this.files.delete(from);
  }

  async unlink(file: string): Promise<void> {
    this.#check('unlink', file);
    if (!this.#crashed) this.files.delete(file);
  }

  async syncDir(dir: string): Promise<void> {
    this.#check('syncDir', dir);
  }

  async readFile(file: string): Promise<Buffer | null> {
    return this.files.get(file) ?? null;
  }

  async replaceFile(file: string, contents: string): Promise<void> {
    this.#check('replaceFile', file);
    if (!this.#crashed) this.files.set(file, Buffer.from(contents));
  }
}
