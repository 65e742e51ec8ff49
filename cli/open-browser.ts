/** Opens a page in the person's browser. The address is an argument, never part of a shell's line. */
import { spawn } from 'node:child_process';

/** @returns whether there was something to open it with; that it opened is not known. */
export function openBrowser(
  address: string,
  env: Readonly<Record<string, string | undefined>>,
  platform: string = process.platform,
): boolean {
  const chosen = env.BROWSER;
  if (chosen === 'none') return false;
  const [program, ...args] =
    chosen !== undefined && chosen !== ''
      ? [chosen]
      : platform === 'darwin'
        ? ['open']
        : platform === 'win32'
          ? ['rundll32', 'url.dll,FileProtocolHandler']
          : ['xdg-open'];
  if (program === undefined) return false;
  const child = spawn(program, [...args, address], { stdio: 'ignore', detached: true });
  child.on('error', () => undefined); // The address has been printed as well.
  child.unref();
  return true;
}
