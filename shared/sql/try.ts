import { readFileSync } from 'node:fs';
import { parseText } from './analyse.ts';
import { FlowAnalyser } from './flow/analyse-flow.ts';
import { buildCatalog } from './flow/build-catalog.ts';
import { NO_SESSION } from './flow/session.ts';
import { loadParser } from './parser.ts';

await loadParser();
const g = JSON.parse(readFileSync(new URL('./flow/fixtures/catalog-18.golden.json', import.meta.url), 'utf8'));
const c = buildCatalog(g.version, g.texts);
const P = new Set([
  'public.customers.email',
  'public.customers.ssn',
  'public.events.actor',
  'public.employees.phone',
  'sales.accounts.secret',
]);
const f = new FlowAnalyser(c, (s, t, col) => P.has(`${s}.${t}.${col}`));
for (const q of process.argv.slice(2)) {
  const p = parseText(Buffer.from(q));
  if (!p.ok) {
    console.log(q, p.reason);
    continue;
  }
  for (const r of f.analyseCommand(
    p.statements.map(s => s.node),
    NO_SESSION,
  ))
    console.log(
      q,
      '\n  ',
      r.columns?.map(x => x.name + (x.labels.size ? (x.plain ? '=' : '~') + [...x.labels] : '')).join(' | '),
      r.complete ? '' : 'INCOMPLETE ' + [...r.restLabels],
      '\n  ',
      JSON.stringify({
        sinks: r.sinks.map(s => s.kind + ':' + s.detail),
        inf: r.inferences.map(i => i.kind + ' ' + i.column),
        unknown: r.unknown.map(u => u.code + ': ' + u.detail),
        touched: [...r.touched],
        reads: r.reads.length,
      }),
    );
}
