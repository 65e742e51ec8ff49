import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { Child, type ChildEvents, type ChildPlan, lastMessage } from './child.ts';

const TETHER = path.join(import.meta.dirname, 'tether.ts');

/** A program of a few lines, started as a child is. */
async function plan(source: string, more: Partial<ChildPlan> = {}): Promise<{ plan: ChildPlan; folder: string }> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'sallyport-child-'));
  const file = path.join(folder, 'program.mjs');
  await writeFile(file, source);
  const launch = async () => ({
    command: process.execPath,
    args: ['--import', TETHER, file],
    env: { PATH: process.env.PATH, FOLDER: folder },
  });
  return { plan: { name: 'program', launch, ...more }, folder };
}

function child(t: TestContext, from: { plan: ChildPlan; folder: string }, events: Partial<ChildEvents> = {}): Child {
  const nothing = () => {};
  const made = new Child(from.plan, path.join(from.folder, 'logs'), {
    started: nothing,
    ready: nothing,
    died: nothing,
    looping: nothing,
    ...events,
  });
  t.after(() => made.stop(500));
  return made;
}

const READY = `console.log(JSON.stringify({ ready: true, pid: process.pid }));`;
const IDLE = `setInterval(() => {}, 1000);`;

test('is ready with its line; its other output goes to its log', async t => {
  const from = await plan(`console.error('{"msg":"hello"}'); ${READY} ${IDLE}`);
  const started: number[] = [];
  const made = child(t, from, { started: (_name, pid) => started.push(pid) });
  const line = await made.start();
  assert.equal(line.pid, made.pid);
  assert.deepEqual(started, [made.pid]);
  assert.equal(await readFile(path.join(from.folder, 'logs', 'program.log'), 'utf8'), '{"msg":"hello"}\n');
});

test("a failed start is told in the child's own words, else with the last line of its log", async t => {
  const own = child(
    t,
    await plan(`console.log(JSON.stringify({ error: { code: 'X', message: 'port 1 is taken' } })); process.exitCode = 1;`),
  );
  await assert.rejects(own.start(), { code: 'CHILD_FAILED', message: 'port 1 is taken' });
  const log = child(t, await plan(`console.error('{"level":60,"msg":"no disk"}'); process.exitCode = 3;`));
  await assert.rejects(log.start(), /program could not start: exit code 3 \(no disk\)\. Its log is .*program\.log/);
  const absent = child(t, {
    ...(await plan('')),
    plan: { name: 'absent', launch: async () => ({ command: '/nowhere/program', args: [], env: {} }) },
  });
  await assert.rejects(absent.start(), /absent could not start: it cannot be run/);
});

test('is started again when it is killed, and says so', async t => {
  const from = await plan(`${READY} ${IDLE}`);
  const died: string[] = [];
  const { promise: back, resolve } = Promise.withResolvers<number>();
  const made = child(t, from, { died: (_name, how) => died.push(how), ready: (_name, line) => resolve(line.pid as number) });
  const { pid: first } = await made.start();
  process.kill(first as number, 'SIGKILL');
  const second = await back;
  assert.notEqual(second, first);
  assert.equal(made.pid, second);
  assert.deepEqual(died, ['ended by SIGKILL']);
});

test('a crash loop is reported once, and attempts go on', async t => {
  // Ready the first time, then never again.
  const from = await plan(
    `import { existsSync, writeFileSync, appendFileSync } from 'node:fs';
     const flag = process.env.FOLDER + '/been';
     appendFileSync(process.env.FOLDER + '/starts', 'x');
     if (existsSync(flag)) { console.log(JSON.stringify({ error: { message: 'broken' } })); process.exit(1); }
     writeFileSync(flag, ''); ${READY} setTimeout(() => process.exit(9), 20);`,
  );
  const reports: string[] = [];
  const { promise: looped, resolve } = Promise.withResolvers<void>();
  const made = child(t, from, {
    looping: (_name, why) => {
      reports.push(why);
      resolve();
    },
  });
  await made.start();
  await looped;
  assert.deepEqual(reports, ['broken']);
  assert.ok((await readFile(path.join(from.folder, 'starts'), 'utf8')).length >= 5);
  await made.stop(100);
});

test('stops when asked; one that does not listen is killed, and what it has started with it', async t => {
  const stubborn = child(
    t,
    await plan(
      `import { spawn } from 'node:child_process';
       process.on('SIGTERM', () => {});
       const below = spawn('sleep', ['60']);
       console.log(JSON.stringify({ ready: true, below: below.pid })); ${IDLE}`,
    ),
  );
  const { below } = await stubborn.start();
  await stubborn.stop(100);
  assert.equal(await isGone(below as number), true);
});

test('a stop during the start leaves nothing behind', async t => {
  const made = child(t, await plan(IDLE));
  const started = made.start();
  const refused = assert.rejects(started);
  await new Promise(resolve => setTimeout(resolve, 150));
  const { pid } = made;
  await made.stop(500);
  await refused;
  if (pid !== undefined) assert.equal(await isGone(pid), true);
});

test('when the supervisor is killed, its children end, those with a companion too', async t => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'sallyport-child-'));
  await writeFile(path.join(folder, 'program.mjs'), `${READY} ${IDLE}`);
  const supervisor = `
    import { Child } from ${JSON.stringify(path.join(import.meta.dirname, 'child.ts'))};
    const events = { started() {}, ready() {}, died() {}, looping() {} };
    const own = new Child({ name: 'own', launch: async () => ({ command: process.execPath, env: {},
      args: ['--import', ${JSON.stringify(TETHER)}, ${JSON.stringify(path.join(folder, 'program.mjs'))}] }) }, ${JSON.stringify(folder)}, events);
    const foreign = new Child({ name: 'foreign', foreign: true, answers: async () => true,
      launch: async () => ({ command: '/bin/sleep', args: ['60'], env: {} }) }, ${JSON.stringify(folder)}, events);
    await Promise.all([own.start(), foreign.start()]);
    console.log(JSON.stringify([own.pid, foreign.pid]));
    setInterval(() => {}, 1000);`;
  await writeFile(path.join(folder, 'supervisor.mjs'), supervisor);
  const process_ = spawn(process.execPath, [path.join(folder, 'supervisor.mjs')], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => process_.kill('SIGKILL'));
  const [pids] = (await process_.stdout.setEncoding('utf8').take(1).toArray()) as string[];
  process_.kill('SIGKILL');
  for (const pid of JSON.parse(pids ?? '[]') as number[]) assert.equal(await isGone(pid), true, `process ${pid}`);
});

test("the last message of a log: a JSON line's msg, or the headline of an uncaught error", () => {
  assert.equal(lastMessage('{"msg":"first"}\n{"level":60,"msg":"second"}\n'), 'second');
  assert.equal(
    lastMessage('{"msg":"x"}\nError [CODE]: no such file\n    at open (x.js:1) {\n  code: \'X\'\n}\n\nNode.js v26.10.0\n'),
    'Error [CODE]: no such file',
  );
  assert.equal(lastMessage('plain words\n'), 'plain words');
  assert.equal(lastMessage(''), '');
});

/** Whether a process ends within two minutes. */
async function isGone(pid: number): Promise<boolean> {
  for (let attempt = 0; attempt < 2400; attempt++) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    if (stat === '' || stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z')) return true;
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  return false;
}
