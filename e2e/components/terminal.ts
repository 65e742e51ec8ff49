/** A person at a terminal: a program on a pty of its own, keys typed into it, and what it shows. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import path from 'node:path';

const helper = path.join(import.meta.dirname, '..', '..', 'agent', 'ssh', 'terminal', 'fixtures', 'on-a-terminal.py');

/** A shell that asks, with whatever escape sequences follow its prompt. */
export const PROMPT = /\$ (?:[^ -~]\[[\d;?]*[a-zA-Z])*$/;

export class Terminal {
  readonly #child: ChildProcessWithoutNullStreams;
  output = '';
  readonly ended: Promise<number | null>;

  constructor(program: readonly string[], options: { columns?: number; rows?: number; env?: Record<string, string> } = {}) {
    const { columns = 80, rows = 24, env = {} } = options;
    this.#child = spawn('/usr/bin/python3', [helper, String(columns), String(rows), ...program], {
      env: { ...process.env, TERM: 'xterm', ...env },
    });
    this.#child.stdout.on('data', (chunk: Buffer) => {
      this.output += chunk.toString('utf8');
    });
    this.#child.stdin.on('error', () => undefined); // it may have ended
    this.ended = new Promise(resolve => this.#child.once('close', resolve));
  }

  type(keys: string): void {
    this.#child.stdin.write(keys);
  }

  resize(columns: number, rows: number): void {
    this.#child.stdin.write(`\0${columns} ${rows}\0`);
  }

  /** Waits until the output after `from` matches. @returns where the match ends, to go on from. */
  async until(wanted: RegExp, from = 0, limitMs = 180_000): Promise<number> {
    const deadline = Date.now() + limitMs;
    for (;;) {
      const match = wanted.exec(this.output.slice(from));
      if (match !== null) return from + match.index + match[0].length;
      if (Date.now() > deadline)
        throw new Error(`the terminal never showed ${wanted}; it showed ${JSON.stringify(this.output.slice(from))}`);
      await new Promise(resolve => setTimeout(resolve, 20));
    }
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}
