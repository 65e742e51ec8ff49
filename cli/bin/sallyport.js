#!/usr/bin/env node
// The command's entry. Plain JavaScript on purpose: it has to start on whatever Node the machine has, and hand over to the
// runtime that the project pins (the npm package `node`), because the rest is TypeScript that only runs unbuilt from there on.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const self = fileURLToPath(import.meta.url);

if (Number(process.versions.node.split('.')[0]) >= 26) {
  // Compiled code is kept beside the packages that it is compiled from, where only who can change those can change it.
  const { enableCompileCache } = await import('node:module');
  enableCompileCache(path.join(modules(), '.cache', 'sallyport'));
  // The runtime is pinned, so what of it is experimental is known and chosen; people who type a command need not read of it.
  const printWarning = process.listeners('warning');
  process.removeAllListeners('warning');
  process.on('warning', warning => {
    if (warning.name !== 'ExperimentalWarning') for (const print of printWarning) print.call(process, warning);
  });
  const { run } = await import(pathToFileURL(path.join(path.dirname(self), '..', 'main.ts')).href);
  // Standard streams are written at once on POSIX systems, and nothing that is left may keep a finished command alive.
  process.exit(await run(process.argv.slice(2)));
} else {
  handOver();
}

/** The node_modules folder that holds the pinned runtime. */
function modules() {
  return path.join(path.dirname(createRequire(import.meta.url).resolve('node/package.json')), '..');
}

function handOver() {
  let pinned;
  try {
    pinned = path.join(modules(), 'node', 'bin', 'node');
  } catch {
    console.error('error: the runtime (npm package `node`) is missing. Run `npm ci` in the project folder.');
    process.exitCode = 1;
    return;
  }
  // The IPC channel carries nothing. It is there so that the other process notices when this one is killed.
  const child = spawn(pinned, [self, ...process.argv.slice(2)], { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', error => {
    console.error(`error: the runtime ${pinned} cannot be run (${error.message}). Run \`npm ci\` again, with install scripts allowed.`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (signal ? constants.signals[signal] : 0);
  });
}
