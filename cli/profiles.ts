/**
 * Several installations under names, in `$XDG_CONFIG_HOME/sallyport/profiles.json` (default ~/.config): where each one's API is and
 * which CA it has. No token is in it: that comes from SALLYPORT_TOKEN or from `sallyport login`.
 */
import { mkdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { replaceFile } from './endpoints.ts';
import { readIfThere } from './read-if-there.ts';

export interface Profile {
  /** Base URL of the control plane. */
  api: string;
  /** Absolute path of a PEM file. */
  ca?: string;
}

export interface Profiles {
  /** Used when nothing else says which. */
  current?: string;
  profiles: Record<string, Profile>;
}

type Env = Readonly<Record<string, string | undefined>>;

/** @throws {GatewayError} PROFILES_UNREADABLE. */
export async function readProfiles(env: Env): Promise<Profiles> {
  const file = profilesFile(env);
  const text = file === null ? null : await readIfThere(file);
  if (text === null) return { profiles: {} };
  try {
    return JSON.parse(text) as Profiles;
  } catch (cause) {
    throw new GatewayError('PROFILES_UNREADABLE', 'internal', `${file} is damaged. Delete it and add the profiles again.`, { cause });
  }
}

/** @throws {GatewayError} PROFILES_UNREADABLE when there is no home folder. */
export async function saveProfiles(env: Env, profiles: Profiles): Promise<void> {
  const file = profilesFile(env);
  if (file === null) {
    throw new GatewayError('PROFILES_UNREADABLE', 'invalid', 'there is no home folder to keep profiles in. Set HOME or XDG_CONFIG_HOME.');
  }
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  await replaceFile(file, `${JSON.stringify(profiles, null, 2)}\n`);
}

/**
 * The profile that a command works with, when neither a flag nor a variable says where to go.
 * @param name of --profile.
 * @throws {GatewayError} PROFILE_UNKNOWN.
 */
export async function profileOf(name: string | undefined, env: Env): Promise<Profile | null> {
  const asked = name ?? (env.SALLYPORT_PROFILE || undefined);
  const stored = await readProfiles(env);
  const wanted = asked ?? stored.current;
  if (wanted === undefined) return null;
  const profile = Object.hasOwn(stored.profiles, wanted) ? stored.profiles[wanted] : undefined;
  if (profile !== undefined) return profile;
  const known = Object.keys(stored.profiles).join(', ') || 'none yet';
  throw new GatewayError(
    'PROFILE_UNKNOWN',
    'invalid',
    `there is no profile ${wanted}; there are: ${known}. \`sallyport profile add\` makes one.`,
  );
}

function profilesFile(env: Env): string | null {
  const home = env.HOME ?? os.homedir();
  const folder = env.XDG_CONFIG_HOME || (home && path.join(home, '.config'));
  return folder ? path.join(folder, 'sallyport', 'profiles.json') : null;
}
