/** A terminal that keeps what is written to it, for tests. */
import { Readable } from 'node:stream';
import { styleOf, type Terminal } from './terminal.ts';

export function watchedTerminal(env: Record<string, string> = {}, input = ''): Terminal & { outLines: string[]; errLines: string[] } {
  const outLines: string[] = [];
  const errLines: string[] = [];
  return {
    outLines,
    errLines,
    out: text => void outLines.push(...text.split('\n')),
    raw: text => void outLines.push(text),
    err: text => void errLines.push(...text.split('\n')),
    env,
    stdin: Readable.from([input]),
    style: styleOf(false),
    errStyle: styleOf(false),
  };
}
