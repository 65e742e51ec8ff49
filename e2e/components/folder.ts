/** Looking through the files of a folder in which programs are at work: what is gone by the time it is opened holds nothing. */
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

function ifThere<Value>(look: () => Value, otherwise: Value): Value {
  try {
    return look();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return otherwise;
    throw error;
  }
}

/** Plain files below a folder of a GiB at most. @param except names of folders that are not entered. */
export function filesBelow(dir: string, except: readonly string[] = []): string[] {
  return ifThere(() => readdirSync(dir, { withFileTypes: true }), []).flatMap(entry => {
    const file = path.join(dir, entry.name);
    if (entry.isDirectory()) return except.includes(entry.name) ? [] : filesBelow(file, except);
    return entry.isFile() && ifThere(() => lstatSync(file).size < 2 ** 30, false) ? [file] : [];
  });
}

/** Those of the files that hold any of the texts. */
export function holding(files: readonly string[], ...texts: readonly (string | Buffer)[]): string[] {
  return files.filter(file => {
    const content = ifThere(() => readFileSync(file), Buffer.alloc(0));
    return texts.some(text => content.includes(text));
  });
}
