/** `sallyport sessions watch`: a terminal of somebody's session in this one, while it runs. Whoever watches is in that session's record. */
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import { parseEvent } from '@sallyport/shared/records/asciicast.ts';
import type { Command } from 'commander';
import { type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { requestDownload } from '../http-client.ts';
import type { Terminal } from '../terminal.ts';
import { TerminalFilter } from '../terminal-filter.ts';

export function addWatch(sessions: Command, terminal: Terminal): void {
  withConnectionOptions(sessions.command('watch'))
    .description('Shows what a live session’s terminal shows, until it ends or Ctrl-C. The session’s record says who watched.')
    .argument('<session>', 'id of the session')
    .action(async (id: string, options: ConnectionOptions) => {
      const { api } = await findConnection(options, terminal);
      const stream = new PassThrough();
      const download = requestDownload(api, `/v1/sessions/${encodeURIComponent(id)}/live`, stream);
      // What goes wrong is said once, by whoever reads.
      download.catch((error: unknown) => stream.destroy(error instanceof Error ? error : new Error(String(error))));
      const lines = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY });
      stream.once('error', () => lines.close());
      terminal.err(terminal.errStyle.dim(`watching session ${id}; its record says so`));
      const view = new View(terminal);
      let wasShown = false;
      try {
        for await (const line of lines) wasShown = view.show(line) || wasShown;
        await download;
      } finally {
        stream.destroy();
        // Colours and screens that the terminal left behind.
        if (wasShown) terminal.raw('\u001b[0m\u001b[?1049l\u001b[?25h\r\n');
      }
      terminal.err(terminal.errStyle.dim('the session has ended'));
    });
}

class View {
  #filter = new TerminalFilter();
  readonly #terminal: Terminal;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** @returns whether something was shown. */
  show(line: string): boolean {
    const { raw, err, errStyle } = this.#terminal;
    if (line.startsWith('#')) return false;
    if (line.startsWith('{')) {
      // The header of another terminal.
      this.#filter = new TerminalFilter();
      err(errStyle.dim('a terminal begins'));
      return false;
    }
    const event = parseEvent(line);
    if (event === null || event[1] !== 'o') return false;
    raw(this.#filter.write(event[2]));
    return true;
  }
}
