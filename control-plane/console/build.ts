/**
 * Builds the console's bundle: `node control-plane/console/build.ts OUTDIR`. The control plane runs this in a process of its own when
 * the bundle is missing or older than its sources, so that the bundler is in nobody's memory afterwards.
 *
 * Beside the files lie their compressed forms, and `bundle.json`: every source that went in, with its hash. Whoever wants to know
 * whether the bundle is still true compares those (http/console-bundle.ts).
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { build, type Plugin } from 'vite';

const root = import.meta.dirname;
const repository = fileURLToPath(new URL('../../', import.meta.url));

/**
 * @param outDir is emptied first.
 * @returns the sources that went into the bundle.
 */
export async function buildConsole(outDir: string): Promise<void> {
  const inputs = new Set<string>();
  const collect: Plugin = {
    name: 'sources',
    generateBundle() {
      for (const id of this.getModuleIds()) {
        const [file = ''] = id.replace(/^\0/, '').split('?');
        if (file.startsWith(repository) && !file.includes(`${sep}node_modules${sep}`)) inputs.add(relative(repository, file));
      }
    },
  };
  await build({
    configFile: false,
    root,
    base: '/console/',
    logLevel: 'error',
    publicDir: join(root, 'public'),
    plugins: [collect],
    oxc: { jsx: { runtime: 'automatic' } },
    build: {
      outDir,
      emptyOutDir: true,
      target: 'es2023',
      cssTarget: ['chrome125', 'firefox128', 'safari18'],
      modulePreload: { polyfill: false },
      // A data: URL would need a hole in the content security policy.
      assetsInlineLimit: 0,
      chunkSizeWarningLimit: 1200,
      reportCompressedSize: false,
      rolldownOptions: { input: { index: join(root, 'index.html'), player: join(root, 'player.html') } },
    },
  });
  for (const own of ['index.html', 'player.html', 'package.json', 'build.ts', 'public/icon.svg'])
    inputs.add(relative(repository, join(root, own)));
  await compress(outDir);
  const hashes = Object.fromEntries([...inputs].sort().map(file => [file, hashOf(readFileSync(join(repository, file)))]));
  await writeFile(join(outDir, 'bundle.json'), `${JSON.stringify({ inputs: hashes }, null, 1)}\n`);
}

async function compress(outDir: string): Promise<void> {
  for (const entry of await readdir(outDir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.(js|css|html|svg|wasm)$/.test(entry.name)) continue;
    const file = join(entry.parentPath, entry.name);
    const content = await readFile(file);
    if (content.length < 512) continue;
    // Quality 9 is within a few per cent of 11, in a tenth of the time.
    await writeFile(`${file}.br`, brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }));
    await writeFile(`${file}.gz`, gzipSync(content, { level: 8 }));
  }
}

/** Also how console-bundle.ts hashes. */
function hashOf(content: Buffer): string {
  return createHash('sha256').update(content).digest('base64url').slice(0, 22);
}

if (import.meta.main) {
  const [outDir] = process.argv.slice(2);
  if (outDir === undefined) {
    console.error('usage: node build.ts OUTDIR');
    process.exit(2);
  }
  await mkdir(resolve(outDir), { recursive: true });
  await buildConsole(resolve(outDir));
}
