/** The command line against a whole system: following what happens, and finding what is wrong. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { people, shopManifests, shopSql } from './components/shop.ts';

let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer()]);
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url }) },
    env: { CRM_PASSWORD: postgres.app.password },
  });
});
after(async () => {
  await gateway?.stop();
  await Promise.all([issuer?.stop(), postgres?.stop()]);
});

const command = path.join(import.meta.dirname, '..', 'cli', 'bin', 'sallyport.js');
const environment = (more: Record<string, string> = {}) => ({ ...process.env, HOME: gateway.dir, SALLYPORT_DATA: gateway.data, ...more });

function sallyport(args: string[], more: Record<string, string> = {}): Promise<{ stdout: string; stderr: string; code: number }> {
  return new Promise(resolve =>
    execFile(process.execPath, [command, ...args], { env: environment(more), cwd: gateway.dir }, (error, stdout, stderr) =>
      resolve({ stdout, stderr, code: error === null ? 0 : Number(error.code) }),
    ),
  );
}

interface Following {
  process: ChildProcess;
  out(): string;
  until(fits: (out: string) => boolean): Promise<void>;
  stop(): Promise<number | null>;
}

function follow(...args: string[]): Following {
  const child = spawn(process.execPath, [command, ...args], { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const ended = new Promise<number | null>(resolve => child.once('close', resolve));
  return {
    process: child,
    out: () => out,
    async until(fits) {
      const deadline = Date.now() + 180_000;
      while (!fits(out)) {
        assert.ok(Date.now() < deadline && child.exitCode === null, `not seen in:\n${out}\n${err}`);
        await new Promise(resolve => setTimeout(resolve, 100));
      }
    },
    async stop() {
      child.kill('SIGINT');
      return ended;
    },
  };
}

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({
    ...gateway.address('crm'),
    user: 'sam',
    database: 'app',
    password: await issuer.token(people.support),
    ssl: { ca: readFileSync(gateway.endpoints().ca, 'utf8') },
  });
  client.on('error', () => undefined); // The tests say what they expect of it.
  await client.connect();
  return client;
}

test('sessions tail shows sessions and commands as they happen, as lines and as JSON, and ends at Ctrl-C', async () => {
  const [lines, json] = [follow('sessions', 'tail'), follow('sessions', 'tail', '--json', '--resource', 'crm')];
  // Both have their stream once they show a session.
  let client = await connect();
  for (const each of [lines, json]) {
    while (each.out() === '') {
      await client.end();
      client = await connect();
      await new Promise(resolve => setTimeout(resolve, 500));
    }
  }
  await client.query('select email from customers where id = 3');
  await assert.rejects(client.query('drop table customers'));
  await client.query("select 'a\u001b[2Jb'");
  await client.end();
  await lines.until(out => /session ended/.test(out) && out.includes('a·[2Jb'));
  assert.match(
    lines.out(),
    /^\d\d:\d\d:\d\d crm sam@example\.com allow \(ok, 1 rows, 1 masked, [\d.]+ ms\) select email from customers where id = 3$/m,
  );
  assert.match(lines.out(), /^\d\d:\d\d:\d\d crm sam@example\.com deny \(refused.*sql-safety\/no-ddl\) drop table customers$/m);
  assert.equal(lines.out().includes('\u001b'), false, 'neither colours nor what a client sent, when it is no terminal');
  await json.until(out => /drop table.*\n/.test(out));
  // What is behind the last end of a line is still coming.
  const events = json
    .out()
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as Record<string, unknown>);
  assert.ok(events.some(({ event, decision, rule }) => event === 'command' && decision === 'deny' && rule === 'sql-safety/no-ddl'));
  assert.deepEqual(await Promise.all([lines.stop(), json.stop()]), [0, 0]);
});

test('--watch prints a listing again when it changes', async () => {
  const watched = follow('sessions', 'list', '--live', '--watch', '--json');
  const counts = (out: string) =>
    out
      .split('\n')
      .slice(0, -1)
      .map(line => (JSON.parse(line) as { sessions: unknown[] }).sessions.length);
  // The session of the test before may be there for a moment still.
  await watched.until(out => counts(out).at(-1) === 0);
  const before = counts(watched.out()).length;
  const client = await connect();
  await watched.until(out => counts(out).at(-1) === 1);
  await client.end();
  await watched.until(out => counts(out).at(-1) === 0);
  assert.deepEqual(counts(watched.out()).slice(before), [1, 0]);
  assert.equal(await watched.stop(), 0);
  const agents = follow('agents', 'list', '--watch');
  const invited = await sallyport(['agents', 'invite', '--json']);
  const { agentId } = JSON.parse(invited.stdout) as { agentId: string };
  await agents.until(out => out.includes(agentId));
  assert.equal(await agents.stop(), 0);
});

test('following ends with an error when it is refused, and when nothing answers at the start', async () => {
  const refused = await sallyport(['sessions', 'tail', '--api', gateway.endpoints().api], { SALLYPORT_TOKEN: 'nonsense' });
  assert.deepEqual([refused.code, refused.stdout], [1, '']);
  assert.match(refused.stderr, /^error: The token is not valid here/m);
  const nobody = await sallyport(['sessions', 'tail', '--api', 'http://127.0.0.1:9'], { SALLYPORT_TOKEN: 'x' });
  assert.match(nobody.stderr, /^error: the control plane at http:\/\/127\.0\.0\.1:9 cannot be reached/m);
});

/** Completion waits for the control plane two seconds and no longer: on a busy machine the key is pressed again. */
async function patiently(press: () => Promise<string[]>): Promise<string[]> {
  for (let attempt = 0; ; attempt++) {
    const words = await press();
    if (words.join('') !== '' || attempt >= 20) return words;
  }
}

test('a real bash completes commands and the names of what is there; profiles name installations', async () => {
  const once = (...words: string[]) =>
    new Promise<string[]>((resolve, reject) => {
      const script = `sallyport() { "$NODE" "$COMMAND" "$@"; }
        source <(sallyport completion bash)
        COMP_WORDS=(sallyport "$@"); COMP_CWORD=$#
        _sallyport
        printf '%s\n' "\${COMPREPLY[@]}"`;
      const env = environment({ NODE: process.execPath, COMMAND: command });
      execFile('bash', ['-c', script, 'bash', ...words], { env }, (error, stdout, stderr) =>
        error === null && stderr === '' ? resolve(stdout.trim().split('\n')) : reject(new Error(`${stderr} ${error?.message ?? ''}`)),
      );
    });
  const complete = (...words: string[]) => patiently(() => once(...words));
  assert.deepEqual(await complete('connect', ''), ['crm']);
  assert.deepEqual(await complete('history', 'role', 's'), ['support']);
  assert.deepEqual(await complete('approvals', 'a'), ['approve']);
  assert.deepEqual(await complete('sessions', 'tail', '--resource', 'c'), ['crm']);

  const { api, adminToken } = gateway.endpoints();
  const elsewhere = { SALLYPORT_DATA: '', SALLYPORT_TOKEN: adminToken };
  assert.equal((await sallyport(['profile', 'add', 'prod', '--api', `${api}/`], elsewhere)).code, 0);
  assert.equal((await sallyport(['profile', 'add', 'lab', '--api', 'http://127.0.0.1:9'], elsewhere)).code, 0);
  assert.match((await sallyport(['profile', 'list'], elsewhere)).stdout, /^ +NAME +API.*\n +lab +http:\/\/127\.0\.0\.1:9\n\* +prod +http/);
  assert.match((await sallyport(['get', 'roles'], elsewhere)).stdout, /^support /m, 'the first that was added is used');
  assert.match((await sallyport(['get', 'roles', '--profile', 'lab'], elsewhere)).stderr, /127\.0\.0\.1:9 cannot be reached/);
  assert.match((await sallyport(['get', 'roles'], { ...elsewhere, SALLYPORT_PROFILE: 'lab' })).stderr, /127\.0\.0\.1:9 cannot be reached/);
  assert.match(
    (await sallyport(['get', 'roles', '--data', gateway.data], { ...elsewhere, SALLYPORT_PROFILE: 'lab' })).stdout,
    /^support /m,
  );
  assert.equal((await sallyport(['profile', 'use', 'lab'], elsewhere)).code, 0);
  assert.match((await sallyport(['get', 'roles'], elsewhere)).stderr, /127\.0\.0\.1:9 cannot be reached/);
  assert.match((await sallyport(['get', 'roles'])).stdout, /^support /m, 'what the environment says goes before a profile');
  assert.deepEqual(await complete('get', 'roles', '--profile', ''), ['lab', 'prod']);
  assert.equal((await sallyport(['profile', 'remove', 'lab'], elsewhere)).code, 0);
  assert.match((await sallyport(['get', 'roles', '--profile', 'lab'], elsewhere)).stderr, /there is no profile lab; there are: prod/);
  const insecure = await sallyport(['profile', 'add', 'x', '--api', 'http://sallyport.example'], elsewhere);
  assert.deepEqual([insecure.code, insecure.stdout], [2, '']);
});

test('a real fish and a real zsh complete as bash does', async () => {
  const shell = (program: string, args: string[]) =>
    new Promise<string>((resolve, reject) => {
      const env = environment({ NODE: process.execPath, COMMAND: command });
      execFile(program, args, { env, cwd: gateway.dir, timeout: 60_000 }, (error, stdout, stderr) =>
        error === null ? resolve(stdout) : reject(new Error(`${stdout}${stderr}${error.message}`)),
      );
    });
  const fish = (line: string) => {
    const script = `function sallyport; $NODE $COMMAND $argv; end; sallyport completion fish | source; complete -C '${line}'`;
    return patiently(async () => (await shell('fish', ['--no-config', '-c', script])).trim().split('\n'));
  };
  assert.deepEqual(await fish('sallyport connect '), ['crm']);
  assert.deepEqual(await fish('sallyport history role s'), ['support']);
  assert.deepEqual(await fish('sallyport approvals a'), ['approve']);
  assert.ok((await fish('sallyport apply ')).includes('config/'), 'where nothing is known, files');

  const zsh = async (line: string, wanted: string) => {
    // A shell at a terminal of its own, in which the Tab key is pressed; it goes on until the line is as wanted.
    const script = `zmodload zsh/zpty
      zpty at zsh -f -i
      zpty -w at 'autoload -Uz compinit; compinit -u -D; sallyport() { "$NODE" "$COMMAND" "$@"; }; source <(sallyport completion zsh); bindkey "^I" complete-word; PS1=; print re""ady'
      zpty -r at out '*ready*'
      zpty -w -n at ${JSON.stringify(line)}$'\\t\\n'
      zpty -r at out ${JSON.stringify(`*${wanted}*`)}
      print -r -- "$out"`;
    for (let attempt = 0; ; attempt++) {
      try {
        return await shell('zsh', ['-f', '-c', script]);
      } catch (error) {
        if (attempt >= 3) throw error;
      }
    }
  };
  assert.match(await zsh('sallyport approvals a', 'approve'), /approve/);
  assert.match(await zsh('sallyport history role s', 'support'), /support/);
});

test('the doctor finds nothing wrong with a sound installation, and says what is wrong with a broken one', async () => {
  interface Finding {
    check: string;
    outcome: string;
    detail: string;
    mend?: string;
  }
  const look = async () => {
    const said = await sallyport(['doctor', '--json']);
    const { findings: all } = JSON.parse(said.stdout) as { findings: Finding[] };
    return { sound: said, findings: all, wrong: all.filter(({ outcome, check }) => outcome === 'wrong' && check !== 'disk') };
  };
  let { sound, findings, wrong } = await look();
  // Ingest may be behind for a while on a busy machine, and is said to be.
  for (const end = Date.now() + 180_000; wrong.length > 0 && Date.now() < end; ) ({ sound, findings, wrong } = await look());
  assert.deepEqual(wrong, []);
  for (const check of ['control plane', 'clock', 'access', 'CA', 'session store', 'identity provider corp', 'ingest']) {
    assert.equal(findings.find(each => each.check === check)?.outcome, 'fine', `${check} in ${sound.stdout}`);
  }
  assert.ok(findings.some(({ check, outcome }) => check.startsWith('agent ') && outcome === 'fine'));

  await issuer.stop();
  process.kill(gateway.endpoints().pids['agent'] ?? 0, 'SIGSTOP');
  process.kill(gateway.endpoints().pids['control-plane'] ?? 0, 'SIGKILL');
  try {
    // The agent cannot come back to the control plane's next process.
    const deadline = Date.now() + 180_000;
    let broken = await sallyport(['doctor']);
    while (!/agent \S+ +is not connected/.test(broken.stdout) && Date.now() < deadline) broken = await sallyport(['doctor']);
    assert.equal(broken.code, 1);
    assert.match(broken.stdout, /✗ identity provider corp +cannot be reached.*\n +→ see whether http/);
    assert.match(broken.stdout, /✗ agent \S+ +is not connected.*\n +→ start it/);
  } finally {
    process.kill(gateway.endpoints().pids['agent'] ?? 0, 'SIGCONT');
  }
  const nowhere = await sallyport(['doctor', '--api', 'http://127.0.0.1:9', '--json'], { SALLYPORT_TOKEN: 'x' });
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.stdout, /"check": "control plane",\s+"outcome": "wrong"/);
  assert.equal((await sallyport(['doctor', '--everything'])).code, 2);
});
