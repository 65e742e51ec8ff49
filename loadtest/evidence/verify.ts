/** Verification of an evidence file, as `sallyport evidence verify` does it: lines in, findings out; and the whole command, gzip and all. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { Installation } from '@sallyport/control-plane/evidence/installation.testing.ts';
import { sha256, verifyEd25519 } from '@sallyport/shared/crypto/sha256.ts';
import { EvidenceVerifier } from '@sallyport/shared/evidence/verify.ts';
import { alternate, figure, median } from '../harness/figures.ts';

const SESSIONS = 200;
const COMMANDS = 500;
const RECORDS_PER_SECOND = 100_000;
const cli = path.join(import.meta.dirname, '..', '..', 'cli', 'bin', 'sallyport.js');

export async function run({ rounds }: { rounds: number }): Promise<void> {
  const installation = new Installation(Date.UTC(2026, 2, 1));
  const agent = installation.agent('one');
  for (let at = 0; at < SESSIONS; at++) {
    const text = `select id, name, balance from accounts where id = ${at} and region in ('eu', 'us') order by balance desc limit 50`;
    installation.session(agent, 'sam@example.com', 'crm', text, COMMANDS);
  }
  const lines: string[] = [];
  for await (const line of installation.export().lines({})) lines.push(line);
  const records = SESSIONS * (2 + 2 * COMMANDS);
  const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-bench-verify-'));
  const file = path.join(dir, 'evidence.gz');
  writeFileSync(file, gzipSync(`${lines.join('\n')}\n`));
  try {
    const perCpu: number[] = [];
    const values = await alternate([{ name: 'verifier' }, { name: 'command' }], rounds, async ({ name }) => {
      const startedMs = performance.now();
      const cpu = process.cpuUsage();
      if (name === 'command') {
        await promisify(execFile)(process.execPath, [cli, 'evidence', 'verify', file, '--json']);
      } else {
        const verifier = new EvidenceVerifier({ sha256, verifyEd25519 });
        for (const line of lines) {
          const work = verifier.take(line);
          if (work !== undefined) await work;
        }
        const report = await verifier.finish();
        const { user, system } = process.cpuUsage(cpu);
        perCpu.push((records / (user + system)) * 1e6);
        if (!report.ok || report.counts.records !== records)
          throw new Error(`the file does not verify: ${JSON.stringify(report.findings)}`);
      }
      return records / ((performance.now() - startedMs) / 1000);
    });
    figure({
      bench: 'evidence',
      case: 'verify, lines in memory',
      subject: 'sallyport',
      value: median(perCpu),
      unit: 'records per second of CPU',
    });
    for (const [name, words] of [
      ['verifier', 'verify, lines in memory'],
      ['command', 'verify, the whole command with its start'],
    ] as const) {
      const value = median(values.get(name) ?? []);
      const target = `at least ${RECORDS_PER_SECOND}`;
      figure({ bench: 'evidence', case: words, subject: 'sallyport', value, unit: 'records/s', target, met: value >= RECORDS_PER_SECOND });
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
