/**
 * Where the console's built files come from. They are not in the repository: they are built from control-plane/console when they are
 * missing or a source has changed since, into a cache folder, by a process that is gone afterwards. Nothing is fetched.
 *
 * Whether a bundle is true to its sources is decided by their hashes, not by times. An installation whose sources were not shipped, or
 * whose folder cannot be written, serves the bundle that it has; without one it says what to do.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { lockDirectory } from '../log/directory-lock.ts';

const repository = fileURLToPath(new URL('../../', import.meta.url));
const builder = fileURLToPath(new URL('../console/build.ts', import.meta.url));
const waitForOtherMs = 60_000;

export interface ConsoleFile {
  content: Buffer;
  brotli?: Buffer;
  gzip?: Buffer;
  etag: string;
}

/** Path below the bundle's root, e.g. `assets/index-x.js`, to the file. */
export type ConsoleBundle = ReadonlyMap<string, ConsoleFile>;

/** `SALLYPORT_CACHE` names a folder that can be written, where the installation's own cannot. */
export function bundleFolder(env: Readonly<Record<string, string | undefined>>): string {
  return join(env['SALLYPORT_CACHE'] ?? join(repository, '.cache'), 'console');
}

/** Is there a bundle, and is it what the sources would give now? Takes some milliseconds. */
export function bundleState(folder: string): 'current' | 'stale' | 'missing' {
  let inputs: Record<string, string>;
  try {
    ({ inputs } = JSON.parse(readFileSync(join(folder, 'bundle.json'), 'utf8')) as { inputs: Record<string, string> });
  } catch {
    return 'missing'; // Not there, or not whole: either way it is built anew.
  }
  // Shipped without its sources: what is there is what was meant.
  if (!existsSync(builder)) return 'current';
  for (const [file, hash] of Object.entries(inputs)) {
    try {
      if (hashOf(readFileSync(join(repository, file))) !== hash) return 'stale';
    } catch {
      return 'stale';
    }
  }
  return 'current';
}

/**
 * Builds the bundle unless it is current. Two processes that want it at once build it once.
 * @param onBuilding called when it has to be built.
 * @throws {GatewayError} CONSOLE_NOT_BUILT, with what to do.
 */
export async function ensureBundle(folder: string, onBuilding: () => void = () => {}): Promise<void> {
  if (bundleState(folder) === 'current') return;
  const lockFolder = `${folder}.lock`;
  const scratch = `${folder}.${process.pid}`;
  try {
    await mkdir(lockFolder, { recursive: true });
  } catch (cause) {
    throw new GatewayError(
      'CONSOLE_NOT_BUILT',
      'unavailable',
      `The console is not built yet, and ${folder} cannot be written (${errorText(cause)}). Set SALLYPORT_CACHE to a folder that can be written.`,
      { cause },
    );
  }
  const lock = await patientLock(lockFolder);
  try {
    if (bundleState(folder) === 'current') return;
    onBuilding();
    await runBuilder(scratch);
    await rm(folder, { recursive: true, force: true });
    await rename(scratch, folder);
  } finally {
    await rm(scratch, { recursive: true, force: true });
    lock.release();
  }
}

/** Reads the whole bundle into memory: it is small, and a rebuild under a running server changes nothing for that server. */
export function loadBundle(folder: string): ConsoleBundle {
  const bundle = new Map<string, ConsoleFile>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || /\.(br|gz|json)$/.test(entry.name)) continue;
    const file = join(entry.parentPath, entry.name);
    const content = readFileSync(file);
    const sibling = (suffix: string) => (existsSync(file + suffix) ? readFileSync(file + suffix) : undefined);
    const [brotli, gzip] = [sibling('.br'), sibling('.gz')];
    bundle.set(file.slice(folder.length + 1).replaceAll('\\', '/'), {
      content,
      ...(brotli === undefined ? {} : { brotli }),
      ...(gzip === undefined ? {} : { gzip }),
      etag: `"${hashOf(content)}"`,
    });
  }
  return bundle;
}

async function patientLock(folder: string): Promise<{ release(): void }> {
  const deadline = Date.now() + waitForOtherMs;
  for (;;) {
    try {
      return lockDirectory(folder);
    } catch (error) {
      if (!(error instanceof GatewayError && error.code === 'DATA_LOCKED') || Date.now() > deadline) throw error;
    }
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}

async function runBuilder(outDir: string): Promise<void> {
  const child = spawn(process.execPath, [builder, outDir], {
    stdio: ['ignore', 'ignore', 'pipe'],
    // The builder has no business with the secrets that stand in this environment.
    env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '', NODE_ENV: 'production' },
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4000);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0)
    throw new GatewayError('CONSOLE_NOT_BUILT', 'unavailable', `The console could not be built: ${said.trim() || `exit code ${code}`}`);
}

function hashOf(content: Buffer): string {
  return createHash('sha256').update(content).digest('base64url').slice(0, 22);
}
