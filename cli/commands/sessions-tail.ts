/** `sallyport sessions tail`: commands as they are answered, refused or held, and sessions as they begin and end. */
import type { Command } from 'commander';
import { type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { followEvents, type ServerEvent } from '../event-source.ts';
import { listenForStop } from '../supervisor/stop-signal.ts';
import { printable, shortened } from '../table.ts';
import type { Terminal } from '../terminal.ts';

interface TailOptions extends ConnectionOptions {
  session?: string;
  resource?: string;
  json?: true;
}

export function defineTail(sessions: Command, terminal: Terminal): void {
  withConnectionOptions(sessions.command('tail'))
    .description('Shows commands and sessions as they happen, until Ctrl-C. Commands of others are for auditors.')
    .option('--session <ID>', 'only of this session')
    .option('--resource <NAME>', 'only of this resource')
    .option('--json', 'print JSON, one event a line')
    .action(async (options: TailOptions) => {
      const connection = await findConnection(options, terminal);
      const query = new URLSearchParams({ events: 'session,command' });
      if (options.session !== undefined) query.set('session', options.session);
      if (options.resource !== undefined) query.set('resource', options.resource);
      const stop = listenForStop();
      const stopping = new AbortController();
      void stop.asked.then(() => stopping.abort());
      let greeted = false;
      try {
        await followEvents(
          connection.api,
          `/v1/events?${query.toString()}`,
          ({ type, data }) => {
            const missed = type === 'hello' && data.resumed === false && greeted;
            if (missed) warn(terminal, 'the connection was lost for so long that something may be missing here');
            if (type === 'hello') greeted = true;
            else if (type === 'skipped') warn(terminal, `too fast to show: ${counts(data)} skipped`);
            else if (options.json) terminal.out(JSON.stringify({ event: type, ...data }));
            else terminal.out(eventLine({ type, data }, terminal));
          },
          stopping.signal,
        );
      } finally {
        stop.dispose();
      }
    });
}

function warn({ err, errStyle }: Terminal, text: string): void {
  err(`${errStyle.yellow('warning:')} ${text}`);
}

function counts(data: Record<string, unknown>): string {
  return Object.entries(data)
    .map(([type, count]) => `${String(count)} ${type} events`)
    .join(', ');
}

/** One event as a line for people; what a client sent cannot move their cursor. */
export function eventLine({ type, data }: ServerEvent, { style }: Pick<Terminal, 'style'>): string {
  const text = (name: string) => {
    const value = data[name];
    return typeof value === 'string' ? printable(value) : typeof value === 'number' ? String(value) : '';
  };
  if (type === 'session') {
    const at = text(data.endedAt === null ? 'startedAt' : 'endedAt');
    const color = data.status === 'refused' ? style.red : style.cyan;
    const why = data.status === 'live' ? `from ${text('clientAddress')}` : text('endReason');
    return `${style.dim(at.slice(11, 19))} ${text('resource')} ${text('principal')} ${color(`session ${text('status')}`)} ${why}`.trimEnd();
  }
  const decision = String(data.decision);
  const color = decision === 'deny' ? style.red : decision === 'hold' ? style.yellow : style.green;
  const result = [
    text('status'),
    ...(Number(data.rows) > 0 ? [`${text('rows')} rows`] : []),
    ...(Number(data.maskedValues) > 0 ? [`${text('maskedValues')} masked`] : []),
    ...(Number(data.durationUs) > 0 ? [`${(Number(data.durationUs) / 1000).toFixed(1)} ms`] : []),
    ...(decision === 'allow' || data.rule === '' ? [] : [text('rule')]),
  ].join(', ');
  const command = shortened(text('text') || text('kind'), 160);
  return `${style.dim(text('at').slice(11, 19))} ${text('resource')} ${text('principal')} ${color(decision)} ${style.dim(`(${result})`)} ${command}`;
}
