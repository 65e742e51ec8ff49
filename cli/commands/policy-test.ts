/** `sallyport policy test [DIR]`: runs the tables of cases that lie beside manifests. Exit code 1 when one fails. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { CaseResult } from '@sallyport/shared/rehearsal/run-tests.ts';
import type { Command } from 'commander';
import { pathsBelow, readTexts, TEST_FILE } from '../manifest-files.ts';
import { ManifestProblems } from '../manifest-problems.ts';
import { readPolicyFolder } from '../policy-folder.ts';
import { shownPath } from '../shown-path.ts';
import { printable } from '../table.ts';
import type { Terminal } from '../terminal.ts';

interface Options {
  tap?: true;
  json?: true;
}

export function addTest(policy: Command, terminal: Terminal): void {
  policy
    .command('test')
    .description('Runs the tests (*.test.yaml) beside manifests, offline: exit code 0 when all hold, 1 when not.')
    .argument('[dir]', 'folder with manifests, tests and catalogs (default: the current one)')
    .option('--tap', 'print the Test Anything Protocol')
    .option('--json', 'print JSON')
    .action(async (dir: string | undefined, options: Options) => {
      const results = await runFolder(dir ?? '.');
      const failed = results.filter(result => !result.ok);
      if (options.json)
        terminal.out(JSON.stringify({ passed: results.length - failed.length, failed: failed.length, cases: results }, null, 2));
      else if (options.tap) {
        const { tapLines } = await import('@sallyport/shared/rehearsal/test-report.ts');
        terminal.out(tapLines(results).join('\n'));
      } else show(results, terminal);
      if (failed.length > 0) {
        throw new GatewayError(
          'POLICY_TESTS_FAILED',
          'invalid',
          `${failed.length} of ${results.length} ${results.length === 1 ? 'case' : 'cases'} failed.`,
        );
      }
    });
}

async function runFolder(dir: string): Promise<CaseResult[]> {
  const [{ parseTests }, { runTests }, { problemText }, { loadParser }] = await Promise.all([
    import('@sallyport/shared/rehearsal/test-file.ts'),
    import('@sallyport/shared/rehearsal/run-tests.ts'),
    import('@sallyport/shared/policy/manifests.ts'),
    import('@sallyport/shared/sql/parser.ts'),
  ]);
  await loadParser();
  const folder = await readPolicyFolder(dir);
  const root = path.resolve(dir);
  const files = (await stat(root)).isDirectory() ? await readTexts(await pathsBelow(root, name => TEST_FILE.test(name))) : [];
  if (files.length === 0) {
    throw new GatewayError(
      'TESTS_MISSING',
      'invalid',
      `there are no tests in ${dir}: no file in it ends with .test.yaml. docs/guides/write-a-policy.md shows one.`,
    );
  }
  const { cases, problems } = parseTests(
    files.map(({ path: file, text }) => ({ path: shownPath(file), text })),
    folder.policy,
  );
  if (problems.length > 0) throw new ManifestProblems(problems.map(problemText));
  return runTests(cases, { ...folder, now: new Date() });
}

function show(results: readonly CaseResult[], { out, style }: Terminal): void {
  let table = '';
  for (const { table: of, name, file, line, ok, failures } of results) {
    if (of !== table) out(style.bold(of));
    table = of;
    out(`  ${ok ? style.green('✔') : style.red('✖')} ${printable(name)}${ok ? '' : style.dim(`  ${file}:${line}`)}`);
    for (const failure of failures) out(`      ${printable(failure)}`);
  }
}
