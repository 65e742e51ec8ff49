/**
 * `npm run demo`: plays a short session through the gateway with an ordinary driver (`pg`), and shows side by side what the
 * database holds, what each client saw, what was refused, and what the evidence says about all of it. It uses the demo that
 * runs on the data folder (SALLYPORT_DATA, default ./.sallyport); when none does, it starts one and stops it at the end.
 */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import pg from 'pg';
import { dataFolder, type Endpoints, readEndpoints } from '../endpoints.ts';
import { identityToken } from '../identity/token-source.ts';
import { hostForClients, splitAddress } from '../resource-address.ts';
import { printable, shortened, table } from '../table.ts';
import { processTerminal, type Terminal } from '../terminal.ts';
import { requestTicket } from '../ticket.ts';
import { readDemo } from './demo-file.ts';
import { SAMPLE_DATABASE, samplePostgres, superuser } from './postgres.ts';

const RESOURCE = 'crm';
const EVIDENCE_TIMEOUT_MS = 30_000;

/** Plays the whole session. `terminal.out` gets the result; throws when something is not as it should be. */
export async function play(terminal: Terminal): Promise<void> {
  const folder = dataFolder(undefined, terminal.env);
  const running = await readEndpoints(folder).catch((error: unknown) => {
    if (error instanceof GatewayError && error.code === 'NOT_RUNNING') return undefined;
    throw error;
  });
  const stop = running ? undefined : await startDemo(folder, terminal);
  try {
    await new Play(terminal, folder, running ?? (await readEndpoints(folder))).run();
  } finally {
    await stop?.();
  }
}

class Play {
  readonly #terminal: Terminal;
  readonly #folder: string;
  readonly #endpoints: Endpoints;

  constructor(terminal: Terminal, folder: string, endpoints: Endpoints) {
    this.#terminal = terminal;
    this.#folder = folder;
    this.#endpoints = endpoints;
  }

  async run(): Promise<void> {
    const since = Date.now();
    const { databasePort } = await readDemo(this.#folder);
    const database = await superuser(await samplePostgres(path.join(this.#folder, 'demo', 'postgres')), databasePort, SAMPLE_DATABASE);
    await database.connect();
    const alice = await this.#connect('alice');
    const carol = await this.#connect('carol');
    const bot = await this.#connect('billing-bot');
    const holders: [string, pg.Client][] = [
      ['the database holds', database],
      ['Alice, support, sees', alice],
      ['Carol, privacy office, sees', carol],
    ];
    try {
      this.#title('1  The same question, asked by different people');
      await this.#compare('select name, email, phone, card_number from customers where id = 7', holders);
      this.#title('2  Data that nobody labelled: secrets and personal data in free text');
      await this.#compare(`select name, value from app_secrets where name like 'github%'`, holders.slice(0, 2));
      await this.#compare(
        `select value as "this gateway's own password" from app_secrets where name = 'crm database password'`,
        holders.slice(0, 2),
      );
      await this.#compare(`select body from support_tickets where body like '%@example%' order by id limit 1`, holders.slice(0, 2));
      this.#title('3  What is refused, before the database sees it');
      this.#terminal.out('');
      await this.#refused('Alice', alice, 'drop table orders');
      await this.#refused('Alice', alice, 'select username, password from app_users');
      await this.#refused('billing-bot', bot, `update orders set amount = 0 where id = 1`);
      this.#terminal.out('');
      await this.#stillThere(database);
    } finally {
      for (const client of [database, alice, carol, bot]) await client.end().catch(() => {}); // a refused session may be closed already
    }
    this.#title('4  The evidence, from ClickHouse');
    await this.#evidence(since);
  }

  async #connect(person: string): Promise<pg.Client> {
    const token = await identityToken({ as: person, data: this.#folder }, this.#terminal);
    const { ticket, address } = await requestTicket({ url: this.#endpoints.api }, token, RESOURCE);
    const { host, port } = splitAddress(address ?? this.#endpoints.resources[RESOURCE] ?? '');
    const client = new pg.Client({
      host: hostForClients(host),
      port,
      user: person,
      password: ticket,
      database: SAMPLE_DATABASE,
      ssl: { ca: await readFile(this.#endpoints.ca, 'utf8'), servername: 'localhost' },
    });
    client.on('error', () => {}); // what is refused is shown where it was asked
    await client.connect();
    return client;
  }

  #title(text: string): void {
    this.#terminal.out(`\n${this.#terminal.style.bold(text)}`);
  }

  #statement(sql: string): void {
    this.#terminal.out(`  ${this.#terminal.style.cyan(sql)}`);
  }

  /** One row, as each of them gets it. */
  async #compare(sql: string, holders: readonly [string, pg.Client][]): Promise<void> {
    this.#terminal.out('');
    this.#statement(sql);
    const rows: { who: string; values: Record<string, unknown> }[] = [];
    for (const [who, client] of holders) {
      const { rows: answer } = await client.query<Record<string, unknown>>(sql);
      for (const values of answer) rows.push({ who, values });
    }
    const names = Object.keys(rows[0]?.values ?? {});
    const columns = [
      { title: '', value: (row: (typeof rows)[number]) => row.who },
      ...names.map(name => ({ title: name, value: (row: (typeof rows)[number]) => shortened(String(row.values[name]), 84) })),
    ];
    this.#terminal.out(indented(table(rows, columns, this.#terminal.style, '(no rows)')));
  }

  async #refused(who: string, client: pg.Client, sql: string): Promise<void> {
    this.#statement(`${who}: ${sql}`);
    try {
      await client.query(sql);
    } catch (error) {
      const code = (error as { code?: string }).code ?? '';
      this.#terminal.out(
        `    ${this.#terminal.style.red('refused')} ${printable(errorText(error))} ${this.#terminal.style.dim(`SQLSTATE ${code}`)}`,
      );
      return;
    }
    throw new GatewayError('DEMO_UNEXPECTED', 'internal', `\`${sql}\` was let through. Have the sample manifests been changed?`);
  }

  async #stillThere(database: pg.Client): Promise<void> {
    const { rows } = await database.query<{ orders: string; amount: string }>(
      'select count(*) as orders, (select amount from orders where id = 1) as amount from orders',
    );
    this.#terminal.out(`  The database still has ${rows[0]?.orders} orders, and the first one still costs ${rows[0]?.amount}.`);
  }

  async #evidence(sinceMs: number): Promise<void> {
    const sql = `SELECT principal, decision, rule, rows, masked_values AS masked, arrayStringConcat(data_classes, ' ') AS classes, text
  FROM sallyport.commands WHERE at >= fromUnixTimestamp64Milli(${sinceMs}) AND kind != '' ORDER BY at, session_id, seq`;
    this.#terminal.out('');
    for (const line of sql.split('\n')) this.#statement(line.trim());
    const deadline = Date.now() + EVIDENCE_TIMEOUT_MS;
    for (;;) {
      const rows = await this.#query(sql);
      if (rows.filter(({ decision }) => decision === 'deny').length >= 3) {
        const columns = ['principal', 'decision', 'rule', 'rows', 'masked', 'classes', 'text'].map(name => ({
          title: name,
          value: (row: Record<string, string | number>) => shortened(printable(String(row[name] ?? '')), name === 'text' ? 60 : 36),
        }));
        this.#terminal.out(indented(table(rows, columns, this.#terminal.style, '')));
        this.#terminal.out('\n  Ask it yourself: any ClickHouse client, at the address and with the password in endpoints.json.');
        return;
      }
      if (Date.now() > deadline)
        throw new GatewayError('DEMO_UNEXPECTED', 'unavailable', 'the evidence has not arrived. See DATA/logs/ingest.log');
      await new Promise(resolve => setTimeout(resolve, 250));
    }
  }

  async #query(sql: string): Promise<Record<string, string | number>[]> {
    const { url, user, password } = this.#endpoints.clickhouse;
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'x-clickhouse-user': user, 'x-clickhouse-key': password },
      body: `${sql} FORMAT JSON`,
    });
    const text = await answer.text();
    if (!answer.ok) throw new GatewayError('DEMO_UNEXPECTED', 'unavailable', `the session store says: ${printable(text).slice(0, 300)}`);
    return (JSON.parse(text) as { data: Record<string, string | number>[] }).data;
  }
}

function indented(text: string): string {
  return text.replace(/^/gm, '    ');
}

/** Starts `sallyport up --demo` and resolves, once it is ready, with what stops it. */
async function startDemo(folder: string, terminal: Terminal): Promise<() => Promise<void>> {
  terminal.err(terminal.errStyle.dim('No demo runs here; starting one for the time of the play.'));
  const command = path.join(import.meta.dirname, '..', 'bin', 'sallyport.js');
  const child = spawn(process.execPath, [command, 'up', '--demo', '--data', folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  const gone = new Promise<number | null>(resolve => child.once('close', resolve));
  const ready = new Promise<boolean>(resolve => {
    createInterface({ input: child.stdout }).on('line', line => {
      if (line === 'ready') resolve(true);
    });
  });
  if (!(await Promise.race([ready, gone.then(() => false)]))) {
    throw new GatewayError('DEMO_UNAVAILABLE', 'unavailable', 'the demo could not be started; the line above says why.');
  }
  return async () => {
    child.kill('SIGTERM');
    await gone;
  };
}

if (import.meta.main) {
  const terminal = processTerminal();
  try {
    await play(terminal);
  } catch (error) {
    terminal.err(`${terminal.errStyle.red('error:')} ${errorText(error)}`);
    process.exitCode = 1;
  }
}
