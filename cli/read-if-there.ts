import { readFile } from 'node:fs/promises';

/**
 * A file's text, or null when there is no such file.
 *
 * Any other failure is thrown: what exists and cannot be read (permissions, a failing disk) must not be taken for a first start,
 * which would write new keys or passwords over it.
 */
export async function readIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
