/**
 * Benchmarks of the evidence: the spool alone, verification, the control log in Kafka, the way from an agent by Kafka to ClickHouse, and
 * the auditors' questions over many commands. And what is lost or doubled when processes are killed, which is not for a quick look: only
 * when it is named.
 *
 *     npm run -s bench:evidence [-- PART ...] [--rows N] [--rounds N] [--seeds N] [--store DIR]
 *     parts: spool, verify, append, pipeline, questions; none: all of these; killed
 *     DIR keeps the commands that the questions are about, for another run (harness/generated-store.ts)
 */
import { parseArgs } from 'node:util';
import { table } from '../harness/figures.ts';

interface Options {
  rows: number;
  rounds: number;
  seeds: number;
  store?: string | undefined;
}

const parts: Readonly<Record<string, (options: Options) => Promise<void>>> = {
  spool: async options => (await import('./spool.ts')).run(options),
  verify: async options => (await import('./verify.ts')).run(options),
  append: async options => (await import('./append.ts')).run(options),
  pipeline: async options => (await import('./pipeline.ts')).run(options),
  questions: async options => (await import('./questions.ts')).run(options),
  killed: async options => (await import('./killed.ts')).run(options),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rows: { type: 'string', default: '5000000' },
    rounds: { type: 'string', default: '5' },
    seeds: { type: 'string', default: '10' },
    store: { type: 'string' },
  },
});
const chosen = positionals.length === 0 ? Object.keys(parts).filter(name => name !== 'killed') : positionals;
const options = { rows: Number(values.rows), rounds: Number(values.rounds), seeds: Number(values.seeds), store: values.store };
if (!Number.isSafeInteger(options.seeds) || options.seeds < 1) throw new Error('--seeds is a whole number of at least 1');
if (!Number.isSafeInteger(options.rows) || options.rows < 1000) throw new Error('--rows is a whole number of at least 1000');
if (!Number.isSafeInteger(options.rounds) || options.rounds < 1) throw new Error('--rounds is a whole number of at least 1');
for (const name of chosen) {
  const part = parts[name];
  if (part === undefined) throw new Error(`there is no part ${name}; known: ${Object.keys(parts).join(', ')}`);
  await part(options);
}
table();
process.exit(0);
