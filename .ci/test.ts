/**
 * Runs the project's tests with Node's own runner: `node .ci/test.ts unit|system [path-part…]`.
 *
 * unit: `x.test.ts` beside `x.ts`, pure and quick. system: `x.int.test.ts` with real servers and everything under e2e/; what
 * they need that npm does not bring is installed first by e2e/setup.sh, and a component that cannot be had fails the run.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const [suite, ...parts] = process.argv.slice(2);
if (suite !== 'unit' && suite !== 'system') {
  console.error('usage: node .ci/test.ts unit|system [path-part…]');
  process.exit(2);
}
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.test.ts'], { encoding: 'utf8' })
  .split('\n')
  .filter(file => file && existsSync(file))
  .filter(file => (file.endsWith('.int.test.ts') || file.startsWith('e2e/')) === (suite === 'system'))
  .filter(file => parts.length === 0 || parts.some(part => file.includes(part)));
if (files.length === 0) {
  console.error(`no ${suite} test matches ${parts.join(' ')}`);
  process.exit(1);
}
if (suite === 'system') {
  const setup = spawnSync('bash', ['e2e/setup.sh'], { stdio: 'inherit' });
  if (setup.status !== 0) {
    console.error('the components that the system tests need could not be installed; see above');
    process.exit(1);
  }
}
const started = Date.now();
// Two files side by side: what the smallest machine has cores for. A test file that hangs is ended, and counts as failed.
const args = ['--test', '--test-concurrency=2', `--test-timeout=${suite === 'unit' ? 60_000 : 900_000}`];
if (suite === 'unit')
  args.push(
    '--test-reporter=dot',
    '--test-reporter-destination=stdout',
    '--test-reporter=./.ci/closing.ts',
    '--test-reporter-destination=stdout',
  );
else args.push('--test-reporter=spec', '--test-reporter-destination=stdout');
const result = spawnSync(process.execPath, [...args, ...files], { stdio: 'inherit' });
console.log(`${suite}: ${files.length} files in ${((Date.now() - started) / 1000).toFixed(1)} s`);
process.exitCode = result.status ?? 1;
