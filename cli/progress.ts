/** How far long work is, on one line of standard error that is drawn over; nothing at all when that is no terminal. */
import { Transform } from 'node:stream';
import type { Terminal } from './terminal.ts';

const everyMs = 100;

export interface Progress {
  /** @param total absent: nobody knows. */
  update(done: number, total?: number): void;
  /** Takes the line away. */
  end(): void;
}

export function progress(
  terminal: Pick<Terminal, 'isErrTerminal' | 'rawErr'>,
  what: string,
  shown: (amount: number) => string,
  clock = Date.now,
): Progress {
  const { rawErr } = terminal;
  if (!terminal.isErrTerminal || rawErr === undefined) return { update: () => undefined, end: () => undefined };
  let lastAtMs = Number.NEGATIVE_INFINITY;
  return {
    update(done, total) {
      const nowMs = clock();
      if (nowMs - lastAtMs < everyMs) return;
      lastAtMs = nowMs;
      const width = 24;
      const filled = total === undefined || total === 0 ? 0 : Math.min(width, Math.round((done / total) * width));
      const bar = total === undefined ? '' : ` [${'#'.repeat(filled)}${'.'.repeat(width - filled)}] of ${shown(total)}`;
      rawErr(`\r\u001b[K${what}: ${shown(done)}${bar}`);
    },
    end() {
      if (lastAtMs !== Number.NEGATIVE_INFINITY) rawErr('\r\u001b[K');
    },
  };
}

/** Bytes for people. */
export function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let amount = bytes;
  let unit = 0;
  while (amount >= 1000 && unit < units.length - 1) {
    amount /= 1000;
    unit++;
  }
  return `${unit === 0 ? amount : amount.toFixed(1)} ${units[unit]}`;
}

/** Passes bytes on and tells how many there were. */
export function counting(tell: (bytes: number) => void): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      tell(bytes);
      done(null, chunk);
    },
  });
}
