/**
 * `npm run -s bench:postgres`: what the agent costs a PostgreSQL client, beside what other things in the same place cost.
 *
 * Subjects, alternating in one run: a direct connection (without and with TLS), haproxy as a TCP relay, pgbouncer with TLS to
 * the client (session pooling), and the agent with TLS to the client, guards, column masks, detectors and strict records on,
 * inside a whole `sallyport up`. `--rounds N --seconds N --only PART-OF-A-CASE` bound it.
 */
import { parseArgs } from 'node:util';
import { figure, table } from '../harness/figures.ts';
import { memoryBytes, needPackages } from '../harness/processes.ts';
import { bulk, canned, memory } from './bulk.ts';
import { connections, latency, prepare, throughput } from './pgbench.ts';
import { Bench } from './subjects.ts';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    only: { type: 'string', multiple: true },
  },
});
const bounds = {
  rounds: Number(options.rounds),
  seconds: Number(options.seconds),
  wanted: (name: string) => !options.only || options.only.some(only => name.includes(only)),
};

needPackages('postgresql-client-15', 'haproxy', 'pgbouncer', 'openssl');
const bench = await Bench.open();
try {
  await prepare(bench);
  const cannedPlain = await canned(bench, 450, false);
  const cannedTls = await canned(bench, 450, true);
  const cannedSmall = await canned(bench, 300, false);
  bench.addResource('short', bench.postgres.port, { policy: true });
  bench.addResource('bulk-untouched', cannedPlain, { policy: false, responses: 'none' });
  bench.addResource('bulk-untouched-tls', cannedTls, { policy: false, responses: 'none', tls: true });
  bench.addResource('bulk-policy', cannedPlain, { policy: true });
  // What no rule touches streams; what rules look into is bounded by their speed, and 20 × 300 MB of it would take many minutes.
  bench.addResource('crowd', cannedSmall, { policy: false });
  await bench.start();

  const agent = await bench.agent('short');
  const bouncer = await bench.pgbouncer();
  const direct = bench.direct('plain');
  for (const mode of ['prepared', 'simple'] as const) await throughput([direct, await bench.haproxy(), bouncer, agent], mode, bounds);
  for (const mode of ['prepared', 'simple'] as const) await latency([direct, bouncer, agent], mode, bounds);
  for (const clients of [1, 16]) await connections([bench.direct('tls'), bouncer, agent], clients, bounds);
  const canBouncer = await bench.pgbouncer(cannedTls, true);
  await bulk(
    'bulk-plain-upstream',
    // haproxy passes plain text on; what TLS to the client costs, and the reader with it, pgbouncer beside it shows.
    [
      bench.direct('plain', cannedPlain),
      await bench.haproxy(cannedPlain),
      await bench.pgbouncer(cannedPlain),
      await bench.agent('bulk-untouched'),
    ],
    'haproxy',
    1.2,
    bounds,
  );
  await bulk('bulk-tls-both', [canBouncer, await bench.agent('bulk-untouched-tls')], 'pgbouncer-tls', 0.85, bounds);
  await bulk('bulk-masks-and-detectors', [await bench.haproxy(cannedPlain), await bench.agent('bulk-policy')], 'haproxy', null, bounds);
  await memory(await bench.agent('crowd'), { ...bounds, rounds: Math.min(3, bounds.rounds) });
  if (agent.pid)
    figure({ bench: 'postgres', case: 'memory-at-the-end', subject: 'agent', value: memoryBytes(agent.pid).now / 2 ** 20, unit: 'MiB' });
  table();
} finally {
  await bench.close();
}
