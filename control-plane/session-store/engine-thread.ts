/**
 * The thread in which the ClickHouse engine runs: one call into `libchdb` that returns when the engine has ended, which it does only
 * when it could not start.
 *
 * `query_stable_v2` is the library's C entry to `clickhouse local`, with a command line; that program can serve ClickHouse's own HTTP
 * interface (`SYSTEM START LISTEN HTTP`), which the Node binding of chdb cannot. Nothing else of the library is called.
 */
import { DynamicLibrary, getRawPointer, toString as textAt, toBuffer } from 'node:ffi';
import { parentPort, workerData } from 'node:worker_threads';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { type Confinement, canConfine, confineThread } from './confine.ts';

export interface EngineThreadInput {
  library: string;
  arguments: string[];
  confinement: Confinement;
  /** Refuse to run unconfined where the platform cannot do it. */
  confinementNeeded: boolean;
}

export type EngineThreadOutput =
  | { type: 'starting'; confined: boolean }
  /** Why it ended, in the engine's words; empty when it gave none. */
  | { type: 'ended'; reason: string };

/** `struct local_result_v2 { char * buf; size_t len; void * _vec; double elapsed; uint64_t rows_read; uint64_t bytes_read; char * error_message; }` */
const resultBytes = 56;
const errorMessageAt = 48;

function run(input: EngineThreadInput): string {
  const library = new DynamicLibrary(input.library);
  const query = library.getFunction('query_stable_v2', { return: 'pointer', arguments: ['i32', 'pointer'] });
  const confined = canConfine();
  if (!confined && input.confinementNeeded) throw unconfined();
  // After the library is loaded, before it has a thread.
  if (confined) confineThread(input.confinement);
  post({ type: 'starting', confined });
  // argv: the texts must stay where they are for as long as the engine runs, which is this call.
  const texts = input.arguments.map(text => Buffer.from(`${text}\0`));
  const argv = Buffer.alloc(8 * (texts.length + 1));
  for (const [index, text] of texts.entries()) argv.writeBigUInt64LE(getRawPointer(text), index * 8);
  const result = query(texts.length, getRawPointer(argv));
  if (!result) return '';
  const error = Buffer.from(toBuffer(result, resultBytes)).readBigUInt64LE(errorMessageAt);
  return error === 0n ? '' : (textAt(error) ?? '');
}

function post(output: EngineThreadOutput): void {
  parentPort?.postMessage(output);
}

function unconfined(): GatewayError {
  return new GatewayError(
    'STORE_CONFINEMENT_UNAVAILABLE',
    'unavailable',
    'A read-only user needs a kernel that keeps the engine inside its folder (Linux 5.19 or later with Landlock). Run without SALLYPORT_STORE_READONLY_USER, or use a ClickHouse server.',
  );
}

try {
  post({ type: 'ended', reason: run(workerData as EngineThreadInput) });
} catch (error) {
  post({ type: 'ended', reason: errorText(error) });
}
