/**
 * Verifies evidence in this browser: the file of `evidence export`, through the same verifier as the command line. Nothing
 * that the server says about its own evidence is believed.
 *
 * The control plane's key is the one that this browser saw first: from then on another key is a finding. For an audit, verify with a key
 * that came another way (`sallyport evidence verify --key`).
 */
import { sha256 } from '@noble/hashes/sha2.js';
import type { Report } from '@sallyport/shared/evidence/report.ts';
import { formatLogKey, parseLogKey } from '@sallyport/shared/evidence/tree-head.ts';
import { EvidenceVerifier } from '@sallyport/shared/evidence/verify.ts';
import { ApiError, authorization, withQuery } from '../api/client.ts';
import { knownKey, rememberKey, verifyEd25519 } from './known-key.ts';

/** Lines between two breaths, so that the page stays alive. */
const linesAtOnce = 400;

export interface Verified {
  report: Report;
  /** What the key is to this browser. */
  key: { text: string; status: 'first' | 'same' | 'changed'; earlier: string };
  /** The file, for whoever wants to keep it. */
  file: Blob;
}

/** What evidence is about: all that is given must match. Times are RFC 3339. */
export interface Scope {
  session?: string;
  person?: string;
  resource?: string;
  from?: string;
  to?: string;
}

/** @throws {ApiError} when the file does not come. */
export async function verifyEvidence(scope: Scope, onProgress: (lines: number) => void, signal: AbortSignal): Promise<Verified> {
  const response = await fetch(withQuery('/v1/evidence/export', { ...scope }), {
    headers: authorization('GET'),
    cache: 'no-store',
    signal,
  });
  if (!response.ok || response.body === null) {
    const problem = (await response.json().catch(() => ({}))) as { code?: string; detail?: string };
    throw new ApiError(response.status, problem.code ?? 'UNKNOWN', problem.detail ?? 'The evidence cannot be read.');
  }
  const given = response.headers.get('x-sallyport-evidence-key') ?? '';
  const earlier = knownKey();
  const pinned = parseLogKey(earlier === '' ? given : earlier, sha256);
  const file = await response.blob();
  const verifier = new EvidenceVerifier({ sha256, verifyEd25519, ...(pinned === null ? {} : { key: pinned }) });
  let lines = 0;
  for await (const line of linesOf(file)) {
    const work = verifier.take(line);
    if (work !== undefined) await work;
    if (++lines % linesAtOnce !== 0) continue;
    signal.throwIfAborted();
    onProgress(lines);
    await new Promise(resolve => setTimeout(resolve));
  }
  const report = await verifier.finish();
  const key = pinned === null ? '' : formatLogKey(pinned, sha256);
  if (earlier === '' && report.ok && key !== '') rememberKey(key);
  const status = earlier === '' ? 'first' : given === key ? 'same' : 'changed';
  return { report, key: { text: given, status, earlier }, file };
}

async function* linesOf(file: Blob): AsyncGenerator<string> {
  const text = file
    .stream()
    .pipeThrough(new DecompressionStream('gzip'))
    .pipeThrough(new TextDecoderStream() as TransformStream);
  const reader = (text as ReadableStream<string>).getReader();
  let rest = '';
  for (;;) {
    // A file that was cut ends early; the verifier says that its end is missing.
    const { value, done } = await reader.read().catch(() => ({ value: undefined, done: true as const }));
    if (done || value === undefined) break;
    const parts = (rest + value).split('\n');
    rest = parts.pop() ?? '';
    yield* parts;
  }
  if (rest !== '') yield rest;
}
