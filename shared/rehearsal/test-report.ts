/** Results of tests in the Test Anything Protocol, version 14, for tools that read it. @see https://testanything.org/tap-version-14-specification.html */
import type { CaseResult } from './run-tests.ts';

export function tapLines(results: readonly CaseResult[]): string[] {
  const lines = ['TAP version 14', `1..${results.length}`];
  for (const [i, { ok, table, name, file, line, failures, actual }] of results.entries()) {
    lines.push(`${ok ? 'ok' : 'not ok'} ${i + 1} - ${description(`${table}: ${name}`)}`);
    if (ok) continue;
    lines.push('  ---', `  message: ${JSON.stringify(failures.join('; '))}`, `  at: ${JSON.stringify(`${file}:${line}`)}`);
    lines.push(`  actual: ${JSON.stringify(actual)}`, '  ...');
  }
  return lines;
}

/** In a description a `#` would begin a directive. */
function description(text: string): string {
  return text.replace(/\s+/g, ' ').replaceAll('\\', '\\\\').replaceAll('#', '\\#');
}
