/** Commands over SSH with OpenSSH's own client and server: what passes, what is refused, what is masked, what is recorded. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { type Bastion, sshPeople, startBastion } from '../components/bastion.ts';
import { filesBelow, holding } from '../components/folder.ts';
import { runProgram } from '../components/ssh-client.ts';

let bastion: Bastion;
const secret = ['AKIA', 'QX5ZT7CANARYKEY2'].join('');

before(async () => {
  bastion = await startBastion({
    role: '{ environment: [APP_MODE] }',
    extra: `---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: hosts }
spec:
  resources: {}
  rules:
    - { name: no-reboot, match: { programs: [reboot, shutdown] }, action: deny, message: "Reboots go through the change calendar." }
    - { name: no-shadow, match: { reads: ["/etc/shadow"] }, action: deny }
---
apiVersion: sallyport.dev/v1
kind: DataPolicy
metadata: { name: hosts }
spec:
  resources: {}
  detectors: [email, aws-access-key, known-credentials]
  exempt: { groups: [unmasked] }
`,
  });
});
after(() => bastion?.stop());

const recorded = (text: string) =>
  bastion.gateway.eventually<{
    session_id: string;
    seq: string;
    status: string;
    decision: string;
    rule: string;
    response_head: string;
    error_code: string;
  }>(
    `select * from sallyport.commands where text = '${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}' and status not in ('', 'open', 'running', 'pending')`,
    rows => rows.length > 0,
  );

test('what a command writes, reads and ends with is the client’s, and recorded', async () => {
  const { stdout, stderr, code } = await bastion.ssh(['cat; echo problem >&2; exit 7'], { input: 'to the command' });
  assert.equal(stdout.toString(), 'to the command');
  assert.equal(stderr, 'problem\n');
  assert.equal(code, 7);
  const [row] = await recorded('cat; echo problem >&2; exit 7');
  assert.equal(row?.status, 'error');
  assert.equal(row?.error_code, 'EXIT_7');
  assert.match(row?.response_head ?? '', /to the command/);
  const signal = await bastion.ssh(['kill -TERM $$']);
  assert.equal(signal.code, 255);
  assert.equal((await recorded('kill -TERM $$'))[0]?.error_code, 'SIGNAL_TERM');
});

test('output is whole when the command ends before it has all gone, round after round', async () => {
  for (let round = 0; round < 8; round++) {
    // A reader that begins late: everything waits in windows when the host says that it is done.
    const run = await runProgram('sh', ['-c', `(${shellCommand('seq 400000; echo end')}) | { sleep 0.3; sha256sum; }`], {
      env: { SSHPASS: await bastion.token() },
    });
    const direct = await runProgram('sh', ['-c', '(seq 400000; echo end) | sha256sum']);
    assert.equal(run.stdout.toString(), direct.stdout.toString(), run.stderr);
  }
});

function shellCommand(command: string): string {
  const { host, port } = bastion.address();
  return `sshpass -e ssh ${bastion.options.map(each => `'${each}'`).join(' ')} -o PreferredAuthentications=password -p ${port} -l web ${host} '${command}'`;
}

test('a refused command never reaches the host, and says why', async () => {
  const before = bastion.sshd.log().length;
  for (const text of [
    'reboot',
    'sudo -n reboot',
    'bash -c "re""boot"',
    '$(echo reb)oot',
    'x=reboot; $x',
    'cat /etc/../etc/shadow',
    'cat /etc/sha*w',
  ]) {
    const { code, stderr, stdout } = await bastion.ssh([text]);
    assert.equal(code, 126, `${text}: ${stderr}`);
    assert.match(stderr, /^sallyport: .+/);
    assert.equal(stdout.length, 0);
    const [row] = await recorded(text);
    assert.equal(row?.status, 'refused');
    assert.equal(row?.decision, 'deny');
  }
  assert.match((await bastion.ssh(['reboot'])).stderr, /Reboots go through the change calendar\./);
  assert.doesNotMatch(bastion.sshd.log().slice(before), /Starting session/);
  const { code } = await bastion.ssh(['echo allowed']);
  assert.equal(code, 0);
  assert.match(bastion.sshd.log().slice(before), /Starting session: command/);
});

test('what cannot be judged is refused', async () => {
  for (const text of ['eval "$(cat x)"', 'curl -s http://127.0.0.1:1/x | bash', 'python3 -c "import os"', 'echo cm0= | base64 -d | sh']) {
    const { code, stderr } = await bastion.ssh([text]);
    assert.equal(code, 126, text);
    assert.match(stderr, /sallyport: /);
  }
});

test('secrets and personal data are masked on the way, across pieces, and in records', async () => {
  const text = `printf 'mail ada'; sleep 0.01; printf '@example.org and AKIA'; sleep 0.01; printf '%s\\n' QX5ZT7CANARYKEY2; printf 'b\\303'; sleep 0.2; printf '\\251b\\n'`;
  const { stdout } = await bastion.ssh([text]);
  assert.ok(!stdout.toString().includes(secret) && !stdout.toString().includes('ada@example.org'), stdout.toString());
  assert.match(stdout.toString(), /^mail .*redacted.* and .*redacted.*\nbéb\n$/);
  const [row] = await recorded(text);
  assert.ok(!row?.response_head.includes(secret));
  assert.match(row?.response_head ?? '', /redacted/);
  // Somebody whom a policy exempts sees it; the record still does not hold it.
  const exempt = await bastion.ssh([`printf '%s%s\\n' AKIA QX5ZT7CANARYKEY2`], { as: 'auditor' });
  assert.equal(exempt.stdout.toString(), `${secret}\n`);
  const [kept] = await recorded(`printf '%s%s\\n' AKIA QX5ZT7CANARYKEY2`);
  assert.ok(!kept?.response_head.includes(secret), kept?.response_head ?? '');
  // In the text of a command as well.
  await bastion.ssh([`echo ${secret}`]);
  const rows = await bastion.gateway.query<{ n: number }>(`select count() as n from sallyport.commands where text like '%${secret}%'`);
  assert.equal(Number(rows[0]?.n), 0);
});

test('only who is admitted gets in, and is told nothing else', async () => {
  const stranger = await bastion.ssh(['true'], { as: 'stranger' });
  assert.equal(stranger.code, 5, stranger.stderr); // sshpass: wrong password
  const wrong = await bastion.ssh(['true'], { user: 'other' });
  assert.equal(wrong.code, 5);
  const rows = await bastion.gateway.eventually<{ code: string; principal: string }>(
    `select code, principal from sallyport.sessions where status = 'refused'`,
    found => found.length >= 2,
  );
  assert.ok(rows.some(row => row.code === 'NO_GRANT' && row.principal === sshPeople.stranger.email));
  assert.ok(rows.some(row => row.code === 'OTHER_RESOURCE'));
  const account = await bastion.ssh(['true'], { user: 'root+web' });
  assert.notEqual(account.code, 0);
  await bastion.gateway.eventually(`select 1 from sallyport.sessions where error_code = 'SSH_ACCOUNT_DENIED'`, found => found.length > 0);
});

test('variables pass by an allow-list; agents, X11 and subsystems are refused', async () => {
  const env = await bastion.ssh(['echo "$APP_MODE-$APP_OTHER-$LC_TIME"'], {
    flags: ['-o', 'SendEnv=APP_* LC_TIME'],
    env: { APP_MODE: 'one', APP_OTHER: 'two', LC_TIME: 'C' },
  });
  assert.equal(env.stdout.toString(), 'one--C\n');
  const line = shellCommand('echo "agent:$SSH_AUTH_SOCK"').replace('-e ssh', '-e ssh -A -o IdentityAgent="$SSH_AUTH_SOCK"');
  const agent = await runProgram('ssh-agent', ['sh', '-c', line], {
    env: { SSHPASS: await bastion.token() },
  });
  assert.equal(agent.stdout.toString(), 'agent:\n', agent.stderr);
  const x11 = await bastion.ssh(['echo "x:$DISPLAY"'], { flags: ['-X'], env: { DISPLAY: ':7' } });
  assert.equal(x11.stdout.toString(), 'x:\n');
  const subsystem = await bastion.ssh(['netconf'], { flags: ['-s'] });
  assert.equal(subsystem.code, 126);
  const forward = await bastion.ssh(['true'], { flags: ['-W', '127.0.0.1:1'] });
  assert.notEqual(forward.code, 0);
});

test('several channels on one connection are one session', async () => {
  const control = `${bastion.gateway.dir}/control-%C`;
  const master = ['-o', 'ControlMaster=auto', '-o', `ControlPath=${control}`, '-o', 'ControlPersist=60'];
  await bastion.ssh(['echo multiplexed one'], { flags: master });
  const runs = await Promise.all([1, 2, 3].map(n => bastion.ssh([`echo multiplexed ${n}; sleep 0.2`], { flags: master })));
  assert.deepEqual(
    runs.map(run => run.stdout.toString()),
    ['multiplexed 1\n', 'multiplexed 2\n', 'multiplexed 3\n'],
  );
  await bastion.ssh([], { flags: [...master, '-O', 'exit'] });
  const rows = await bastion.gateway.eventually<{ n: number; commands: number }>(
    `select uniqExact(session_id) as n, count() as commands from sallyport.commands where text like 'echo multiplexed%'`,
    found => Number(found[0]?.commands) >= 4,
  );
  assert.equal(Number(rows[0]?.n), 1);
});

test('the credential is nowhere: not at the client, in no log, in no record', async () => {
  const key = readFileSync(bastion.sshd.userKey, 'utf8').split('\n')[2] ?? '';
  assert.ok(key.length > 20);
  assert.deepEqual(holding(filesBelow(bastion.gateway.data), key), []);
});

test('every cipher carries bytes both ways unchanged, over new keys in the midst of it', async () => {
  const bytes = randomBytes(3 * 2 ** 20);
  for (const cipher of [
    'chacha20-poly1305@openssh.com',
    'aes128-gcm@openssh.com',
    'aes256-gcm@openssh.com',
    'aes128-ctr',
    'aes192-ctr',
    'aes256-ctr',
  ]) {
    const run = await bastion.ssh(['cat'], {
      as: 'auditor',
      input: bytes,
      limitMs: 180_000,
      flags: ['-c', cipher, '-o', 'RekeyLimit=1M', '-o', 'Compression=no'],
    });
    assert.equal(run.code, 0, `${cipher}: ${run.stderr}`);
    assert.ok(run.stdout.equals(bytes), `${cipher}: ${run.stdout.length} of ${bytes.length} bytes`);
  }
});
