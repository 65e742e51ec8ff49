/** `DATA/demo/demo.json`: where the demo's own parts are, for `--as` and for `npm run demo`. No secrets in it. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { replaceFile } from '../endpoints.ts';

export interface Demo {
  /** The sample identity provider. */
  issuer: string;
  /** The sample PostgreSQL, on 127.0.0.1. */
  databasePort: number;
}

export async function saveDemo(dataFolder: string, demo: Demo): Promise<void> {
  await replaceFile(demoFile(dataFolder), `${JSON.stringify(demo, null, 2)}\n`);
}

/** @throws {GatewayError} DEMO_ABSENT when no demo has been started on this folder. */
export async function readDemo(dataFolder: string): Promise<Demo> {
  try {
    return JSON.parse(await readFile(demoFile(dataFolder), 'utf8')) as Demo;
  } catch (cause) {
    throw new GatewayError(
      'DEMO_ABSENT',
      'unavailable',
      `--as is for the demo's sample people, and no demo runs on ${dataFolder}. Start it with \`sallyport up --demo\`, or sign in with \`sallyport login\`.`,
      { cause },
    );
  }
}

function demoFile(dataFolder: string): string {
  return path.join(dataFolder, 'demo', 'demo.json');
}
