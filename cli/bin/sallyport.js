#!/usr/bin/env node
// The command's entry. Plain JavaScript on purpose: it has to start on whatever Node the machine has, and hand over to the
// runtime that the project pins (the npm package `node`), because the rest is TypeScript that only runs unbuilt from Node 24 on.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const major = Number(process.versions.node.split('.')[0]);
const main = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', 'main.ts');
if (major >= 26) {
  const { run } = await import(main);
  process.exitCode = await run(process.argv.slice(2));
} else {
  const pinned = path.join(path.dirname(createRequire(import.meta.url).resolve('node/package.json')), 'bin', 'node');
  const child = spawn(pinned, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  // A terminal's Ctrl-C reaches the whole process group; what a supervisor sends to this process alone is passed on.
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  process.on('SIGINT', () => {});
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? (signal ? 1 : 0);
  });
}
