/**
 * What is lost and what is doubled when a random process is killed every few seconds: the system test with Kafka, two ingesters and an agent
 * that writes itself (e2e/kafka-killed.test.ts), over and over with one seed after the other. Broker, ingesters, agent, control plane and
 * session store are killed with SIGKILL; clients keep the list of what they were answered, and every command on it must be in ClickHouse
 * exactly once. A run that fails is counted with what it said, and the others go on.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { figure } from '../harness/figures.ts';

interface Run {
  seed: number;
  kills: number;
  acknowledged: number;
  lost: number;
  doubled: number;
}

const TEST = path.join(import.meta.dirname, '..', '..', 'e2e', 'kafka-killed.test.ts');

export async function run({ seeds }: { seeds: number }): Promise<void> {
  const runs: Run[] = [];
  let failed = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const { counts, isGood, said } = await one(seed);
    if (counts !== null) runs.push(counts);
    if (!isGood) {
      failed++;
      console.error(`seed ${seed} failed:\n${said}`);
    }
    console.error(`seed ${seed}: ${JSON.stringify(counts)}${isGood ? '' : ' FAILED'}`);
  }
  const sum = (of: (run: Run) => number) => runs.reduce((total, each) => total + of(each), 0);
  const add = (subject: string, value: number, unit: string, target: string | null, met: boolean | null) =>
    figure({ bench: 'evidence', case: `killed, ${seeds} seeds`, subject, value, unit, target, met });
  add(
    'kills',
    sum(each => each.kills),
    'processes',
    null,
    null,
  );
  add(
    'acknowledged',
    sum(each => each.acknowledged),
    'commands',
    null,
    null,
  );
  // A run without counts says nothing of what it lost.
  const isCounted = runs.length === seeds;
  add(
    'lost',
    sum(each => each.lost),
    'commands',
    '0',
    isCounted && sum(each => each.lost) === 0,
  );
  add(
    'doubled',
    sum(each => each.doubled),
    'commands',
    '0',
    isCounted && sum(each => each.doubled) === 0,
  );
  add('failed', failed, 'runs', '0', failed === 0);
}

async function one(seed: number): Promise<{ counts: Run | null; isGood: boolean; said: string }> {
  const child = spawn(process.execPath, ['--test', '--test-reporter=tap', '--test-name-pattern', 'kill -9', TEST], {
    env: { ...process.env, SALLYPORT_SEED: String(seed) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-100_000);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  const line = /^\s*# (\{"seed":.*\})$/m.exec(said)?.[1];
  return { counts: line === undefined ? null : (JSON.parse(line) as Run), isGood: code === 0, said };
}
