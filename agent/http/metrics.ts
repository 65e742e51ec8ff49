/** Prometheus text format, version 0.0.4. @see https://prometheus.io/docs/instrumenting/exposition_formats/ */

export interface Metric {
  /** Without the prefix. */
  name: string;
  help: string;
  type: 'counter' | 'gauge';
  samples: { labels?: Record<string, string>; value: number }[];
}

const PREFIX = 'sallyport_agent_';

export function metricsText(metrics: readonly Metric[]): string {
  const lines: string[] = [];
  for (const { name, help, type, samples } of metrics) {
    lines.push(`# HELP ${PREFIX}${name} ${help}`, `# TYPE ${PREFIX}${name} ${type}`);
    for (const { labels, value } of samples) lines.push(`${PREFIX}${name}${labelText(labels)} ${valueText(value)}`);
  }
  return `${lines.join('\n')}\n`;
}

function labelText(labels: Record<string, string> | undefined): string {
  const pairs = Object.entries(labels ?? {}).map(
    ([name, value]) => `${name}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function valueText(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  return Number.isFinite(value) ? String(value) : value > 0 ? '+Inf' : '-Inf';
}

/** What a worker counts at a moment, rather than since its start. */
const GAUGES: ReadonlySet<string> = new Set([
  'sessions',
  'spool_bytes',
  'spool_records',
  'spool_pending',
  'spool_broken',
  'spool_full',
  'heap_bytes',
]);

/** The workers' own numbers (camelCase names) as metrics with a `worker` label. */
export function workerMetrics(stats: ReadonlyMap<number, Record<string, number>>): Metric[] {
  const metrics = new Map<string, Metric>();
  for (const [worker, numbers] of stats) {
    for (const [key, value] of Object.entries(numbers)) {
      const snake = key.replaceAll(/[A-Z]/g, letter => `_${letter.toLowerCase()}`).replaceAll(/[^a-z0-9_]/g, '_');
      const gauge = GAUGES.has(snake);
      const name = gauge || snake.endsWith('_total') ? snake : `${snake}_total`;
      let metric = metrics.get(name);
      if (metric === undefined) {
        metric = { name, help: `${snake.replaceAll('_', ' ')}, by worker`, type: gauge ? 'gauge' : 'counter', samples: [] };
        metrics.set(name, metric);
      }
      metric.samples.push({ labels: { worker: String(worker) }, value });
    }
  }
  return [...metrics.values()];
}
