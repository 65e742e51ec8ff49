/**
 * Keeps heads of the control log in this browser, and holds the one that is shown now against them and against those that were
 * time-stamped: by the same code as `sallyport evidence heads`. Whoever administers the control plane does not reach what is kept here.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { checkKeptHeads, type ShownHead } from '@sallyport/shared/evidence/kept-heads.ts';
import type { Finding } from '@sallyport/shared/evidence/report.ts';
import { parseLogKey, parseTreeHead } from '@sallyport/shared/evidence/tree-head.ts';
import { api, withQuery } from '../api/client.ts';
import { knownKey, rememberKey, verifyEd25519 } from './known-key.ts';

const name = 'sallyport-kept-heads';
/** The first ones prove most and stay; of the others the newest. */
const keptMax = 100;
const firstKept = 10;

export interface KeptHead {
  note: string;
  size: number;
  at: string;
}

export interface Checked {
  head: ShownHead['head'];
  findings: Finding[];
  /** Another key signs than the one that this browser saw first. */
  keyChanged: boolean;
  /** Heads that were held against it, kept and stamped. */
  against: number;
}

export function keptHeads(): KeptHead[] {
  try {
    const notes: unknown = JSON.parse(localStorage.getItem(name) ?? '[]');
    return (Array.isArray(notes) ? notes : []).flatMap(note => {
      const head = typeof note === 'string' ? parseTreeHead(note)?.head : undefined;
      return head === undefined ? [] : [{ note: note as string, size: head.size, at: head.at }];
    });
  } catch {
    return []; // Not what was written: there is nothing to hold against.
  }
}

export function keepHead(note: string): void {
  const notes = keptHeads().map(head => head.note);
  if (notes.includes(note)) return;
  const all = [...notes, note];
  const kept = all.length <= keptMax ? all : [...all.slice(0, firstKept), ...all.slice(firstKept - keptMax)];
  localStorage.setItem(name, JSON.stringify(kept));
}

/** @param stamped heads that an authority has stamped. @throws {ApiError} when the control plane does not answer. */
export async function checkHeads(stamped: readonly string[], signal: AbortSignal): Promise<Checked> {
  const old = [...new Set([...keptHeads().map(({ note }) => note), ...stamped])];
  const sizes = [...new Set(old.flatMap(note => parseTreeHead(note)?.head.size ?? []))];
  const shown = await api<ShownHead>(withQuery('/v1/evidence/heads', { heads: sizes.join(',') }), { signal });
  const earlier = knownKey();
  const key = parseLogKey(earlier === '' ? shown.key : earlier, sha256);
  if (key === null) return { head: shown.head, findings: [], keyChanged: true, against: 0 };
  const { head, findings } = await checkKeptHeads(shown, old, key, { sha256, verifyEd25519 });
  if (earlier === '' && head !== null && findings.length === 0) rememberKey(shown.key);
  return { head: shown.head, findings, keyChanged: earlier !== '' && earlier !== shown.key, against: old.length };
}
