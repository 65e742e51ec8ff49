/**
 * The auditors' questions over generated commands of a year, in the embedded session store: every question with its own defaults, p95 of
 * the rounds; bytes per command on disk; and how both grow with ten times the rows. The commands are made in the store itself.
 */
import { ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { ask, questionParameters } from '@sallyport/control-plane/questions/ask.ts';
import { QUESTIONS } from '@sallyport/control-plane/questions/catalogue.ts';
import { writer } from '@sallyport/control-plane/session-store/spawn-process.ts';
import { figure } from '../harness/figures.ts';
import { generatedStore } from '../harness/generated-store.ts';

const SECONDS_MAX = 1;
const GIVEN: Readonly<Record<string, string>> = { column: 'public.customers.email', person: 'person7@example.com', left: '30d' };
const DAY_MS = 86_400_000;

export async function run({ rows, rounds, store }: { rows: number; rounds: number; store?: string | undefined }): Promise<void> {
  const small = await measured(Math.max(1000, Math.floor(rows / 10)));
  const large = await measured(rows);
  for (const [name, seconds] of large.seconds) {
    figure({
      bench: 'evidence',
      case: `question ${name}, ${rows} commands`,
      subject: 'sallyport',
      value: seconds,
      unit: 's p95',
      ratios: { 'a tenth of the rows': seconds / (small.seconds.get(name) ?? Number.NaN) },
      target: `under ${SECONDS_MAX} s with 50000000`,
      met: rows >= 50_000_000 ? seconds < SECONDS_MAX : null,
    });
  }
  const ratios = { 'a tenth of the rows': large.bytes / small.bytes };
  figure({
    bench: 'evidence',
    case: `stored command, ${rows} commands`,
    subject: 'sallyport',
    value: large.bytes,
    unit: 'bytes',
    ratios,
  });

  async function measured(count: number): Promise<{ seconds: Map<string, number>; bytes: number }> {
    const generated = await generatedStore(count, store);
    const { url, tables } = generated;
    const login = { username: writer.name, password: writer.password };
    const client = createClient({ url, ...login, request_timeout: 120_000, log: { level: ClickHouseLogLevel.OFF } });
    try {
      const sizes = await tables.rows<{ bytes: string }>(
        "SELECT sum(bytes_on_disk) AS bytes FROM system.parts WHERE database = 'sallyport' AND table = 'command_revisions' AND active",
      );
      const seconds = new Map<string, number>();
      for (const question of QUESTIONS) {
        const given = Object.fromEntries(
          question.parameters.filter(name => question.required?.includes(name)).map(name => [name, GIVEN[name] ?? '']),
        );
        const parameters = questionParameters(question, given, Date.now() + DAY_MS);
        const taken: number[] = [];
        for (let round = 0; round < rounds; round++) {
          const startedMs = performance.now();
          await ask(client, question, parameters, 1000);
          taken.push((performance.now() - startedMs) / 1000);
        }
        taken.sort((a, b) => a - b);
        seconds.set(question.name, taken[Math.ceil(taken.length * 0.95) - 1] ?? Number.NaN);
      }
      return { seconds, bytes: Number(sizes[0]?.bytes ?? 0) / count };
    } finally {
      await client.close();
      await generated.close();
    }
  }
}
