/** `sallyport sessions list|show|kill|replay`: who uses what, now and before. */
import { Command } from 'commander';
import { administratorRequest, type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { printable, shortened, table } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';
import { watchable, watchFlag } from '../watch.ts';
import { addReplay } from './sessions-replay.ts';
import { defineTail } from './sessions-tail.ts';
import { addWatch } from './sessions-watch.ts';

interface Session {
  sessionId: string;
  live: boolean;
  /** live, ended, refused … */
  status: string;
  resource: string;
  principal: string;
  principalKind: string;
  clientAddress: string;
  agent: string;
  role: string;
  startedAt: string;
  endedAt: string | null;
  endReason?: string;
  commands: number;
  denied: number;
  maskedValues: number;
}

interface RecordedCommand {
  seq: number;
  at: string;
  kind: string;
  text: string;
  decision: string;
  rule: string;
  rows: number;
  maskedValues: number;
}

/** Whether past sessions could be read. */
interface StoreAnswer {
  status: 'up' | 'down' | 'none';
  detail?: string;
}

interface Options extends ConnectionOptions {
  json?: true;
}

export function define(terminal: Terminal, exit: (code: number) => void): Command {
  const sessions = new Command('sallyport sessions').description('Sessions: one authenticated use of one resource by one principal.');
  withConnectionOptions(sessions.command('list'))
    .description('Lists sessions, the newest first.')
    .option('--limit <N>', 'how many (default 20)', limit, 20)
    .option('--resource <NAME>', 'only of this resource')
    .option('--principal <NAME>', 'only of this person or workload')
    .option('--live', 'only those that are open')
    .option('--query <QUERY>', 'search: `decision:denied since:7d`, `output:"permission denied"`; instead of the three above')
    .option(...watchFlag)
    .option('--json', 'print JSON')
    .action(watchable(terminal, 'session', listSessions));
  defineTail(sessions, terminal);
  withConnectionOptions(sessions.command('show'))
    .description('Shows one session with its commands.')
    .argument('<session>', 'id of the session')
    .option('--json', 'print JSON')
    .action(async (id: string, options: Options) => {
      const connection = await findConnection(options, terminal);
      const answer = (await administratorRequest(connection, 'GET', `/v1/sessions/${encodeURIComponent(id)}`)) as {
        session: Session;
        commands: RecordedCommand[];
        store: StoreAnswer;
      };
      if (options.json) return terminal.out(JSON.stringify(answer, null, 2));
      showSession(answer.session, answer.commands, terminal);
      warnOfStore(answer.store, terminal);
    });
  withConnectionOptions(sessions.command('kill'))
    .description('Ends an open session at once.')
    .argument('<session>', 'id of the session')
    .option('--reason <TEXT>', 'what the client and the record are told')
    .action(async (id: string, options: Options & { reason?: string }) => {
      const connection = await findConnection(options, terminal);
      await administratorRequest(
        connection,
        'POST',
        `/v1/sessions/${encodeURIComponent(id)}/kill`,
        options.reason === undefined ? {} : { reason: options.reason },
      );
      terminal.out(`session ${id} is being ended`);
    });
  addReplay(sessions, terminal, exit);
  addWatch(sessions, terminal);
  return sessions;
}

interface ListOptions extends Options {
  limit: number;
  resource?: string;
  principal?: string;
  live?: true;
  query?: string;
  watch?: true;
}

async function listSessions(options: ListOptions, terminal: Terminal): Promise<void> {
  const query = new URLSearchParams({ limit: String(options.limit) });
  if (options.query !== undefined && (options.resource !== undefined || options.principal !== undefined || options.live))
    throw new UsageError('--query says it all: write resource:, who: and is:live in it');
  if (options.query !== undefined) query.set('q', options.query);
  if (options.resource !== undefined) query.set('resource', options.resource);
  if (options.principal !== undefined) query.set('principal', options.principal);
  if (options.live) query.set('live', 'true');
  const path = options.query === undefined ? '/v1/sessions' : '/v1/search/sessions';
  const answer = (await administratorRequest(await findConnection(options, terminal), 'GET', `${path}?${query.toString()}`)) as {
    sessions: Session[];
    store?: StoreAnswer;
  };
  if (options.json) return terminal.out(JSON.stringify(answer, null, 2));
  terminal.out(
    table(
      answer.sessions,
      [
        { title: 'SESSION', value: session => session.sessionId },
        { title: 'STARTED', value: session => time(session.startedAt) },
        { title: 'STATUS', value: session => session.status },
        { title: 'RESOURCE', value: session => session.resource },
        { title: 'PRINCIPAL', value: session => session.principal },
        { title: 'COMMANDS', value: session => session.commands, align: 'right' },
        { title: 'DENIED', value: session => session.denied, align: 'right' },
        { title: 'MASKED', value: session => session.maskedValues, align: 'right' },
      ],
      terminal.style,
      options.query === undefined ? 'no sessions yet' : 'no session is like that',
    ),
  );
  // A search that the store cannot answer is an error.
  if (answer.store !== undefined) warnOfStore(answer.store, terminal);
}

function showSession(session: Session, commands: readonly RecordedCommand[], { out, style }: Terminal): void {
  const rows: [string, string][] = [
    ['session', session.sessionId],
    ['status', `${session.status}${session.endReason ? `: ${session.endReason}` : ''}`],
    ['resource', `${session.resource} at agent ${session.agent}`],
    ['principal', `${session.principal} (${session.principalKind})${session.role ? ` by role ${session.role}` : ''}`],
    ['from', session.clientAddress],
    ['time', `${time(session.startedAt)} to ${session.endedAt === null ? 'now' : time(session.endedAt)}`],
  ];
  for (const [title, value] of rows) if (value) out(`${style.dim(title.padEnd(10))} ${printable(value)}`);
  out('');
  const decided = { allow: style.green, deny: style.red, hold: style.yellow };
  out(
    table(
      commands,
      [
        { title: 'SEQ', value: command => command.seq, align: 'right' },
        { title: 'AT', value: command => time(command.at) },
        { title: 'DECISION', value: command => command.decision },
        { title: 'RULE', value: command => command.rule },
        { title: 'ROWS', value: command => command.rows, align: 'right' },
        { title: 'MASKED', value: command => command.maskedValues, align: 'right' },
        { title: 'COMMAND', value: command => shortened(command.text || command.kind, 80) },
      ],
      style,
      'no commands recorded yet',
    ),
  );
  const refused = commands.filter(command => command.decision === 'deny').length;
  if (commands.length > 0) out(`\n${decided.allow(`${commands.length - refused} let through`)}, ${decided.deny(`${refused} refused`)}`);
}

function warnOfStore(store: StoreAnswer, { err, errStyle }: Terminal): void {
  if (store.status !== 'up')
    err(`${errStyle.yellow('warning:')} ${store.detail ?? 'there is no session store: only live sessions are known.'}`);
}

function limit(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > 1000) throw new UsageError(`--limit is a number from 1 to 1000, not \`${text}\``);
  return value;
}

/** `2026-04-01 09:30:00`: the moment in UTC, to the second. */
function time(iso: string): string {
  return iso.replace('T', ' ').slice(0, 19);
}
