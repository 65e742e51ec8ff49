/** Which programs this machine has. */
import { existsSync } from 'node:fs';
import path from 'node:path';

type Env = Readonly<Record<string, string | undefined>>;

/** Whether a program of this name is on the PATH. */
export function findProgram(name: string, env: Env): boolean {
  return (env.PATH ?? '').split(':').some(folder => folder !== '' && existsSync(path.join(folder, name)));
}

/** How people call this command: through npx, unless it is installed outside a node_modules folder. */
export function commandName(env: Env): string {
  const outside = (env.PATH ?? '').split(':').filter(folder => !folder.includes('node_modules'));
  return findProgram('sallyport', { PATH: outside.join(':') }) ? 'sallyport' : 'npx sallyport';
}
