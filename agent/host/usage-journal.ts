/**
 * What principals have read, on disk: budgets survive a restart of the agent, also by kill -9. A journal of lines
 * `{"k": key, "t": ms since 1970, "r": rows, "b": bytes}` in the agent's data folder, rewritten when it has grown.
 *
 * Lines are written as they come and not synced: what a crash of the whole machine loses is the last seconds of counting. A line
 * that was cut off by a crash is left out; a journal that is damaged elsewhere is refused, for counting from nothing would give
 * every budget back.
 */
import fs from 'node:fs/promises';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { Usage } from '@sallyport/shared/policy/usage.ts';

interface Line {
  k: string;
  t: number;
  r: number;
  b: number;
}

const REWRITE_BYTES = 4 * 1024 * 1024;
const KEYS_MAX = 100_000;

export class UsageJournal {
  readonly #file: string;
  readonly #onError: (error: string) => void;
  readonly #usages = new Map<string, Usage>();
  #bytes = 0;
  #rewriteAt = REWRITE_BYTES;
  #pending: string[] = [];
  #writing: Promise<void> = Promise.resolve();
  #scheduled = false;

  private constructor(file: string, onError: (error: string) => void) {
    this.#file = file;
    this.#onError = onError;
  }

  /** @throws {GatewayError} USAGE_UNREADABLE when the journal is damaged before its end. */
  static async open(file: string, nowMs: number, onError: (error: string) => void): Promise<UsageJournal> {
    const journal = new UsageJournal(file, onError);
    let text = '';
    try {
      text = await fs.readFile(file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw damaged(file, errorText(error));
    }
    const lines = text.split('\n');
    for (const [index, line] of lines.entries()) {
      if (line === '') continue;
      const read = parseLine(line);
      if (read !== null) journal.#count(read);
      else if (index !== lines.length - 1) throw damaged(file, `line ${index + 1} is not of this journal`);
    }
    for (const usage of journal.#usages.values()) usage.compact(nowMs);
    await journal.#rewrite();
    return journal;
  }

  /** Takes what was read now. Writing follows by itself. */
  add(key: string, rows: number, bytes: number, nowMs: number): void {
    const line = { k: key, t: nowMs, r: rows, b: bytes };
    this.#count(line);
    this.#pending.push(`${JSON.stringify(line)}\n`);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#writing = this.#writing.then(() => this.#write());
  }

  /** All that is kept, for a worker that begins. */
  *entries(): Iterable<{ key: string; rows: number; bytes: number; atMs: number }> {
    for (const [key, usage] of this.#usages) for (const { endMs, rows, bytes } of usage.buckets) yield { key, rows, bytes, atMs: endMs };
  }

  /** Resolves when everything is written. */
  async close(): Promise<void> {
    await this.#writing;
  }

  #count({ k, t, r, b }: Line): void {
    let usage = this.#usages.get(k);
    if (usage === undefined) {
      usage = new Usage();
      if (this.#usages.size >= KEYS_MAX) {
        const oldest = this.#usages.keys().next();
        if (!oldest.done) this.#usages.delete(oldest.value);
      }
      this.#usages.set(k, usage);
    }
    usage.add(t, r, b);
  }

  async #write(): Promise<void> {
    this.#scheduled = false;
    const text = this.#pending.join('');
    this.#pending = [];
    try {
      if (this.#bytes + text.length > this.#rewriteAt) await this.#rewrite();
      else {
        await fs.appendFile(this.#file, text, { mode: 0o600 });
        this.#bytes += text.length;
      }
    } catch (error) {
      this.#onError(errorText(error));
    }
  }

  async #rewrite(): Promise<void> {
    const nowMs = Date.now();
    let text = '';
    for (const [key, usage] of this.#usages) {
      usage.compact(nowMs);
      for (const { endMs, rows, bytes } of usage.buckets)
        text += `${JSON.stringify({ k: key, t: endMs, r: rows, b: bytes } satisfies Line)}\n`;
    }
    await fs.writeFile(`${this.#file}.new`, text, { mode: 0o600 });
    await fs.rename(`${this.#file}.new`, this.#file);
    this.#bytes = text.length;
    this.#rewriteAt = Math.max(REWRITE_BYTES, 2 * text.length);
  }
}

function parseLine(line: string): Line | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null; // Told by the caller: which line it is matters.
  }
  const { k, t, r, b } = (value ?? {}) as Partial<Line>;
  if (typeof k !== 'string' || ![t, r, b].every(each => Number.isSafeInteger(each) && (each as number) >= 0)) return null;
  return { k, t: t as number, r: r as number, b: b as number };
}

function damaged(file: string, why: string): GatewayError {
  return new GatewayError(
    'USAGE_UNREADABLE',
    'invalid',
    `what principals have read cannot be taken from ${file}: ${why}. Move the file away to start counting anew`,
  );
}
