/**
 * `sallyport sessions replay`: a recorded terminal, in this one, at the pace at which it happened or another; found by what it showed; or
 * written to a file in asciinema's formats.
 */
import { open, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { parseEvent, parseHeader, VersionTwo } from '@sallyport/shared/records/asciicast.ts';
import type { Command } from 'commander';
import { type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { requestDownload } from '../http-client.ts';
import { printable } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { TerminalFilter } from '../terminal-filter.ts';
import { UsageError } from '../usage-error.ts';

type Options = ConnectionOptions & {
  command?: string;
  speed: number;
  idleLimit: number;
  from: number;
  search?: string;
  output?: string;
  format: string;
};

export function addReplay(sessions: Command, terminal: Terminal, exit: (code: number) => void): void {
  withConnectionOptions(sessions.command('replay'))
    .description('Plays what a terminal of a session showed; finds text in it, or writes it to a file.')
    .argument('<session>', 'id of the session')
    .option('--command <SEQ>', 'the command that had the terminal (default: the first of the session)')
    .option('--speed <N>', 'how many times as fast; 0: all at once', number('--speed'), 1)
    .option('--idle-limit <SECONDS>', 'the longest pause', number('--idle-limit'), 2)
    .option('--from <SECONDS>', 'play from then on; what was before is drawn at once', number('--from'), 0)
    .option('--search <TEXT>', 'print when and where the output says so, instead of playing; nothing found is exit code 1')
    .option('-o, --output <FILE>', 'write the recording to a file instead of playing')
    .option('--format <FORMAT>', 'of the file: asciicast-v3 or asciicast-v2', 'asciicast-v3')
    .action(async (id: string, options: Options) => {
      if (options.format !== 'asciicast-v3' && options.format !== 'asciicast-v2')
        throw new UsageError(`--format is asciicast-v3 or asciicast-v2, not \`${options.format}\``);
      if (options.command !== undefined && !/^\d{1,15}$/.test(options.command)) throw new UsageError('--command is a number');
      const { api } = await findConnection(options, terminal);
      const query = options.command === undefined ? '' : `?command=${options.command}`;
      const stream = new PassThrough();
      const download = requestDownload(api, `/v1/sessions/${encodeURIComponent(id)}/recording${query}`, stream);
      // What goes wrong is said once, by whoever reads.
      download.catch((error: unknown) => stream.destroy(error instanceof Error ? error : new Error(String(error))));
      const lines = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY });
      stream.once('error', () => lines.close());
      try {
        if (options.output !== undefined) await write(options.output, options.format === 'asciicast-v2', lines);
        else if (options.search !== undefined) exit((await search(options.search, lines, terminal)) ? 0 : 1);
        else await play(options, lines, terminal);
        await download;
      } finally {
        stream.destroy();
      }
    });
}

function number(option: string): (text: string) => number {
  return text => {
    const value = Number(text);
    if (!/^\d+(\.\d+)?$/.test(text) || !Number.isFinite(value)) throw new UsageError(`${option} is a number, not \`${text}\``);
    return value;
  };
}

async function write(path: string, isVersionTwo: boolean, lines: AsyncIterable<string>): Promise<void> {
  const file = await open(path, 'wx', 0o600).catch((cause: unknown) => {
    throw new GatewayError('FILE_UNWRITABLE', 'invalid', `the recording cannot be written to ${path}: ${errorText(cause)}.`, { cause });
  });
  const two = new VersionTwo();
  let written = 0;
  try {
    for await (const line of lines) {
      const text = isVersionTwo ? two.line(line) : line;
      if (text !== null) await file.write(`${text}\n`);
      written++;
    }
  } finally {
    await file.close();
    if (written === 0) await rm(path, { force: true });
  }
}

async function* eventsOf(lines: AsyncIterable<string>): AsyncGenerator<{ at: number; code: string; text: string }> {
  let at = 0;
  let isFirst = true;
  for await (const line of lines) {
    if (isFirst) {
      parseHeader(line);
      isFirst = false;
      continue;
    }
    const event = parseEvent(line);
    if (event === null) continue;
    at += event[0];
    yield { at, code: event[1], text: event[2] };
  }
}

async function play(options: Options, lines: AsyncIterable<string>, { raw }: Terminal): Promise<void> {
  const filter = new TerminalFilter();
  let playedUpTo = options.from;
  for await (const { at, code, text } of eventsOf(lines)) {
    if (at > playedUpTo) {
      if (options.speed > 0) await sleep((Math.min(at - playedUpTo, options.idleLimit) / options.speed) * 1000);
      playedUpTo = at;
    }
    if (code === 'o') raw(filter.write(text));
  }
  // Colours and screens that the recording left behind.
  raw('\u001b[0m\u001b[?1049l\u001b[?25h\r\n');
}

/** Looks at the text of whole lines, as they were when the line ended. */
async function search(wanted: string, lines: AsyncIterable<string>, { out, style }: Terminal): Promise<boolean> {
  const filter = new TerminalFilter();
  const needle = wanted.toLowerCase();
  let line = '';
  let lineAt = 0;
  let found = false;
  const look = () => {
    const text = printable(line.replaceAll(/[^ -~\u00a0-\uffff\t](?:\[[\d;?]*[@-~]|.)?/gu, ''));
    if (text.toLowerCase().includes(needle)) {
      found = true;
      out(`${style.dim(`${lineAt.toFixed(1).padStart(9)} s`)}  ${text.trim()}`);
    }
    line = '';
  };
  for await (const { at, code, text } of eventsOf(lines)) {
    if (code !== 'o') continue;
    for (const c of filter.write(text)) {
      if (line === '') lineAt = at;
      if (c === '\n' || line.length > 10_000) look();
      else line += c;
    }
  }
  look();
  return found;
}
