/**
 * The sample manifests' way from the package to the data folder. They are copied once, so that people can edit them, and
 * name the preferred addresses of the sample database and provider; where another address had to be taken, the copies are
 * changed to it. Nothing else in them is touched.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** What the packaged manifests say, and what `up --demo` tries first. */
export const PREFERRED_PORTS = { database: 8432, identityProvider: 8422, gateway: 15432 } as const;

export type DemoPorts = Record<keyof typeof PREFERRED_PORTS, number>;

/**
 * Brings the copies in `folder` up to date.
 *
 * @param before the ports that the copies name now: those of the last start, or PREFERRED_PORTS.
 * @param caFile PEM of the sample database's CA; copied beside the manifests as `ca.pem`.
 * @returns the folder, for reading it like any other configuration.
 */
export async function placeSampleManifests(folder: string, before: DemoPorts, now: DemoPorts, caFile: string): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const packaged = path.join(import.meta.dirname, 'manifests');
  const present = new Set(await readdir(folder));
  const firstTime = ![...present].some(name => name.endsWith('.yaml'));
  for (const name of (await readdir(packaged)).sort()) {
    if (!firstTime && !present.has(name)) continue; // whoever deleted one meant it
    const text = await readFile(path.join(firstTime ? packaged : folder, name), 'utf8');
    const placed = withPorts(text, firstTime ? PREFERRED_PORTS : before, now);
    if (firstTime || placed !== text) await writeFile(path.join(folder, name), placed);
  }
  await writeFile(path.join(folder, 'ca.pem'), await readFile(caFile));
  return folder;
}

/** `text` with each of the three loopback addresses of `before` replaced by that of `now`, in one pass. */
export function withPorts(text: string, before: DemoPorts, now: DemoPorts): string {
  const replacement = new Map(
    (Object.keys(PREFERRED_PORTS) as (keyof DemoPorts)[]).map(name => [`127.0.0.1:${before[name]}`, `127.0.0.1:${now[name]}`]),
  );
  return text.replace(/127\.0\.0\.1:\d+\b/g, address => replacement.get(address) ?? address);
}
