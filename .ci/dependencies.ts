/**
 * Holds the direction of dependencies that docs/architecture.md states: who may import whom, which folders do no I/O, and that
 * there are no cycles. Reads every import of the tracked TypeScript with a real parser; type-only imports count for direction
 * and not for cycles, because they are gone at run time.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import path from 'node:path';
import { parseSync } from 'oxc-parser';

interface Import {
  from: string;
  to: string; // a file of the project, `node:x`, or a package name
  typeOnly: boolean;
  line: number;
}

interface Rule {
  name: string;
  why: string;
  from: RegExp;
  except?: RegExp;
  to: RegExp | ((edge: Import) => boolean);
}

const io = /^node:(net|tls|https?|http2|dns|fs|fs\/promises|child_process|worker_threads|dgram|cluster)$/;
const tests = /\.test\.ts$/;
/** Programs that people run by hand to make data (goldens, tables); they are not imported by anything. */
const generators = /\/(capture|generate|score|regenerate)[^/]*\.ts$/;

const rules: Rule[] = [
  {
    name: 'shared is pure',
    why: 'shared imports neither plane',
    from: /^shared\//,
    to: /^(kafka|agent|control-plane|cli|loadtest|e2e)\//,
  },
  {
    name: 'shared does no I/O',
    why: 'policy, facts, detectors and masks are functions of their inputs',
    from: /^shared\//,
    except: new RegExp(`${tests.source}|${generators.source}`),
    to: io,
  },
  {
    name: 'the agent meets the control plane in proto',
    why: 'planes know each other only by contracts',
    from: /^agent\//,
    to: /^(control-plane|cli|loadtest)\//,
  },
  {
    name: 'the control plane meets the agent in proto',
    why: 'planes know each other only by contracts',
    from: /^control-plane\//,
    to: /^(agent|cli|loadtest)\//,
  },
  {
    name: 'proto stands alone',
    why: 'contracts depend on nothing',
    from: /^proto\//,
    to: /^(shared|kafka|agent|control-plane|cli|e2e|loadtest)\//,
  },
  {
    name: 'kafka knows neither plane',
    why: 'both use it',
    from: /^kafka\//,
    except: tests,
    to: /^(agent|control-plane|cli|loadtest|e2e)\//,
  },
  {
    name: 'protocols stand alone',
    why: 'a new protocol is a new folder',
    from: /^agent\/(postgres|ssh|http|redis|mysql|mongodb|kubernetes|rdp)\//,
    to: edge => {
      const of = (file: string) => /^agent\/(postgres|ssh|http|redis|mysql|mongodb|kubernetes|rdp)\//.exec(file)?.[1];
      const target = of(edge.to);
      return target !== undefined && target !== of(edge.from);
    },
  },
  {
    name: 'deciders do no I/O',
    why: 'they must give one answer for one history',
    from: /^control-plane\/aggregates\//,
    except: tests,
    to: io,
  },
];

const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.ts'], { encoding: 'utf8' })
  .split('\n')
  .filter(file => file && !file.endsWith('.d.ts') && !file.startsWith('proto/gen/') && existsSync(file));

const packages = new Map([
  ['@sallyport/proto', 'proto'],
  ['@sallyport/shared', 'shared'],
  ['@sallyport/kafka', 'kafka'],
  ['@sallyport/agent', 'agent'],
  ['@sallyport/control-plane', 'control-plane'],
  ['sallyport', 'cli'],
]);

function resolve(from: string, request: string): string {
  if (request.startsWith('.')) return path.posix.normalize(path.posix.join(path.posix.dirname(from), request));
  for (const [name, folder] of packages) if (request.startsWith(`${name}/`)) return `${folder}/${request.slice(name.length + 1)}`;
  if (builtinModules.includes(request)) return `node:${request}`;
  return request;
}

function importsOf(file: string): Import[] {
  const source = readFileSync(file, 'utf8');
  const { module, errors } = parseSync(file, source);
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]?.message}`);
  const lineAt = (offset: number) => source.slice(0, offset).split('\n').length;
  const found: Import[] = [];
  for (const item of module.staticImports) {
    const typeOnly = item.entries.length > 0 && item.entries.every(entry => entry.isType);
    found.push({ from: file, to: resolve(file, item.moduleRequest.value), typeOnly, line: lineAt(item.start) });
  }
  for (const item of module.staticExports)
    for (const entry of item.entries)
      if (entry.moduleRequest)
        found.push({ from: file, to: resolve(file, entry.moduleRequest.value), typeOnly: entry.isType, line: lineAt(item.start) });
  for (const item of module.dynamicImports) {
    const literal = /^['"`]([^'"`$]+)['"`]$/.exec(source.slice(item.moduleRequest.start, item.moduleRequest.end));
    if (literal?.[1]) found.push({ from: file, to: resolve(file, literal[1]), typeOnly: false, line: lineAt(item.start) });
  }
  return found;
}

const problems: string[] = [];
const edges = tracked.flatMap(importsOf);
for (const edge of edges)
  for (const rule of rules)
    if (
      rule.from.test(edge.from) &&
      !rule.except?.test(edge.from) &&
      (typeof rule.to === 'function' ? rule.to(edge) : rule.to.test(edge.to))
    )
      problems.push(`${edge.from}:${edge.line}: imports ${edge.to}; ${rule.name}: ${rule.why}`);

const graph = new Map<string, string[]>();
for (const edge of edges) if (!edge.typeOnly) graph.set(edge.from, [...(graph.get(edge.from) ?? []), edge.to]);
const state = new Map<string, 'open' | 'done'>();
function visit(file: string, trail: string[]): void {
  if (state.get(file) === 'done') return;
  if (state.get(file) === 'open') {
    problems.push(`cycle: ${[...trail.slice(trail.indexOf(file)), file].join(' → ')}`);
    return;
  }
  state.set(file, 'open');
  for (const next of graph.get(file) ?? []) if (graph.has(next)) visit(next, [...trail, file]);
  state.set(file, 'done');
}
for (const file of graph.keys()) visit(file, []);

for (const problem of problems) console.error(problem);
console.error(`${tracked.length} files, ${edges.length} imports, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
